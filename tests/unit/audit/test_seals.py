"""A seal comes back as it was, a file that is none is told by one line, and what was sealed is found changed."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.audit.seals import NoSeal, Removed, SealCheck, root_of, seal_from, seal_lines
from tailrace.model.chains import Chain, Subject

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SUBJECTS = st.one_of(
    st.tuples(st.just("backfill"), st.integers(0, 2**60)),
    st.tuples(st.just("dag_run"), TEXT, TEXT),
    st.tuples(st.just("task_instance"), TEXT, TEXT, TEXT, st.integers(-1, 9)),
    st.just(("metastore",)),
)
CHAINS = st.builds(Chain, st.text("0123456789abcdef", min_size=40, max_size=40), st.integers(1, 10**9))
SEALS = st.dictionaries(SUBJECTS, CHAINS, max_size=8)

METASTORE: Subject = ("metastore",)
RUN: Subject = ("dag_run", "d", "r")
TASK: Subject = ("task_instance", "d", "r", "t", -1)
SEAL = {METASTORE: Chain("m", 2), RUN: Chain("r", 3), TASK: Chain("t", 1)}


@given(seal=SEALS)
def test_a_seal_is_read_as_it_was_written(seal: dict[Subject, Chain]) -> None:
    lines = seal_lines(seal)
    assert seal_from(lines) == seal
    assert seal_lines(dict(reversed(seal.items()))) == lines, "whatever order the chains come in"
    assert all(b"\n" not in line for line in lines)
    assert len(root_of(lines)) == 40


@given(seal=SEALS.filter(bool), data=st.data())
def test_a_seal_that_is_not_as_it_was_written_is_none(seal: dict[Subject, Chain], data: st.DataObject) -> None:
    lines = seal_lines(seal)
    place = data.draw(st.integers(1, len(lines) - 1))
    one_less = lines[:place] + lines[place + 1 :]
    at = data.draw(st.integers(0, len(lines[place]) - 1))
    other = lines[place][:at] + bytes([lines[place][at] ^ 1]) + lines[place][at + 1 :]
    for wrong in (one_less, [*lines, lines[-1]], [*lines[:place], other, *lines[place + 1 :]]):
        with pytest.raises(NoSeal):
            seal_from(wrong)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [b""],
        [b"{}"],
        [b"[]"],
        [b"\xff\xfe"],
        [b"[" * 100_000],
        [b'{"format":"something","version":1,"chains":0,"root":"x"}'],
        [b'{"format":"seal of tailrace","version":2,"chains":0,"root":"x"}'],
        [b'{"format":"seal of tailrace","version":1,"chains":0,"root":"x"}'],
    ],
)
def test_what_is_no_seal_is_said_in_one_line(lines: list[bytes]) -> None:
    with pytest.raises(NoSeal) as wrong:
        seal_from(lines)
    assert str(wrong.value).startswith("it is ")
    assert "\n" not in str(wrong.value)


def checked(
    chains: Mapping[Subject, tuple[str, ...]], removed: Removed | None = None, removed_at: int = 3
) -> dict[str, str]:
    """What a check of ``SEAL`` finds of these chains, each with its digests in order."""
    check = SealCheck(SEAL)
    for about, digests in chains.items():
        for length, digest in enumerate(digests, start=1):
            check.take(about, Chain(digest, length))
            if removed is not None and (about, length) == (METASTORE, removed_at):
                check.remove(removed, Chain(digest, length))
    ends = {about: Chain(digests[-1], len(digests)) for about, digests in chains.items() if digests}
    return {each.about: each.text for each in check.violations(ends)}


WHOLE: dict[Subject, tuple[str, ...]] = {METASTORE: ("l", "m", "n"), RUN: ("p", "q", "r", "s"), TASK: ("t",)}


def test_chains_may_go_on() -> None:
    assert checked(WHOLE) == {}


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({RUN: ("x", "y", "z", "s")}, "its first 3 rows of history are not those that were sealed"),
        ({RUN: ("p", "q")}, "3 rows of its history were sealed, 2 are there"),
        ({RUN: ()}, "3 rows of its history were sealed, and nothing says that they were cleaned away"),
    ],
)
def test_what_was_sealed_is_found_changed(changed: dict[Subject, tuple[str, ...]], text: str) -> None:
    assert checked({**WHOLE, **changed}) == {"dag_run d / r": text}


def test_what_was_cleaned_since_may_be_gone_or_made_anew() -> None:
    gone = Removed.of({"removed": {"dag_run": {"d": {"r": [4, "s"]}}}})
    left: dict[Subject, tuple[str, ...]] = {METASTORE: WHOLE[METASTORE]}
    assert checked(left, gone) == {}
    assert checked({**left, RUN: ("x", "y", "z")}, gone) == {}
    assert set(checked(left, gone, removed_at=2)) == {"dag_run d / r", "task_instance d / r / t / -1"}, "sealed later"
    other = Removed.of({"removed": {"dag_run": {"d": {"r2": [4, "s"]}, "e": {"r": [1, "x"]}}}})
    assert set(checked(left, other)) == {"dag_run d / r", "task_instance d / r / t / -1"}


@pytest.mark.parametrize("sets", [{}, {"removed": 1}, {"removed": {"dag_run": [], "backfill": 2}}])
def test_a_cleaning_that_says_nothing_excuses_nothing(sets: dict[str, object]) -> None:
    assert not Removed.of(sets).has(RUN)
