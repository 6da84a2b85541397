"""What a digest covers is told apart: no two rows of history that differ anywhere have one encoding."""

from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tailrace.model.chains import COVERED, Chain, chain_of, encoded, link, moment_cell, subject_of, text_digest

TEXT = st.text(st.characters())  # the whole of Unicode, halves of characters included
CELLS = st.lists(st.none() | st.integers(-(2**63), 2**63 - 1) | TEXT, max_size=len(COVERED))
MOMENTS = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45))]))


@given(one=CELLS, other=CELLS)
@example([None], [""])
@example(["None"], [None])
@example(["null"], [None])
@example([1], ["1"])
@example(["a", "b"], ["a,b"])
@example(['a","b'], ["a", "b"])
@example([["a"]], ["a"])
@example([], [None])
@example(["\ud83d\ude00"], ["😀"])
@example(["\ud83d"], ["\\ud83d"])
@example(["\x00"], ["\\u0000"])
@example(["e\u0301"], ["\xe9"])
def test_different_cells_have_different_encodings(one: list[object], other: list[object]) -> None:
    assume(one != other)
    assert encoded(one) != encoded(other)


@given(cells=CELLS)
def test_the_same_cells_have_the_same_digest_and_whatever_is_before_counts(cells: list[object]) -> None:
    digest = link(None, cells)
    assert digest == link(None, list(cells))
    assert len(digest) == 40
    assert len({digest, link("", cells), link(digest, cells), link(None, [*cells, None])}) == 4


@given(cells=st.lists(TEXT | st.none() | st.integers(), min_size=1, max_size=20), data=st.data())
def test_a_changed_cell_changes_the_digest(cells: list[object], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(cells) - 1))
    other = data.draw((TEXT | st.none() | st.integers()).filter(lambda value: value != cells[place]))
    assert link("head", cells) != link("head", [*cells[:place], other, *cells[place + 1 :]])


@given(one=MOMENTS, other=MOMENTS)
def test_moments_are_the_same_cell_if_they_are_the_same_moment(one: datetime, other: datetime) -> None:
    assume(datetime(1, 1, 2, tzinfo=UTC) < one and datetime(1, 1, 2, tzinfo=UTC) < other)
    assert (moment_cell(one) == moment_cell(other)) == (one == other)
    assert datetime.fromisoformat(f"{moment_cell(one)}+00:00") == one
    assert len(moment_cell(one)) == 26


@given(one=TEXT, other=TEXT)
def test_texts_are_known_by_their_digest(one: str, other: str) -> None:
    assert (text_digest(one) == text_digest(other)) == (one == other)


class _Word(StrEnum):
    QUEUED = "queued"


class _Text(str):
    __slots__ = ()


def test_words_of_an_enum_are_their_text() -> None:
    """So that what is written is what a database gives back."""
    assert encoded([_Word.QUEUED, _Text("x")]) == encoded(["queued", "x"])


def test_what_is_no_cell_is_refused() -> None:
    with pytest.raises(NotImplementedError):
        encoded([object()])


def cells(**given: object) -> list[object]:
    return [given.get(name) for name in COVERED]


@pytest.mark.parametrize(
    ("row", "subject", "chain"),
    [
        (
            {"kind": "task_instance", "dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, "job_id": 4},
            ("task_instance", "d", "r", "t", -1),
            None,
        ),
        (
            {"kind": "refused", "dag_id": "d", "run_id": "r", "task_id": "t", "map_index": 2},
            ("refused", "d", "r", "t", 2),
            None,
        ),
        ({"kind": "dag_run", "dag_id": "d", "run_id": "r", "backfill_id": 3}, ("dag_run", "d", "r"), None),
        ({"kind": "backfill", "dag_id": "d", "backfill_id": 3}, ("backfill", 3), None),
        ({"kind": "changed", "after": "dag", "dag_id": "d", "job_id": 3}, ("dag", "d"), None),
        ({"kind": "changed", "after": "job", "dag_id": "d", "job_id": 3}, ("job", 3), None),
        ({"kind": "changed", "after": "pool", "pool": "p"}, ("pool", "p"), ("metastore",)),
        ({"kind": "pool", "after": "3", "pool": "p"}, ("pool", "p"), ("metastore",)),
        ({"kind": "schema", "after": "0007"}, ("metastore",), None),
        ({"kind": "cleaned", "dag_id": "d"}, ("metastore",), None),
    ],
)
def test_a_row_is_about_one_thing(row: dict[str, object], subject: tuple[object, ...], chain: object) -> None:
    assert subject_of(cells(**row)) == subject
    assert chain_of(subject_of(cells(**row))) == (chain or subject)


def test_a_chain_begins_with_nothing() -> None:
    assert Chain() == (None, 0)
