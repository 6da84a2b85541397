"""Messages: each has a code of its own and a sentence, its data is JSON, and what can be done about it can be typed."""

from collections.abc import Iterator
from datetime import UTC, datetime
from math import isfinite
from typing import Any, get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import convert, json, to_builtins
from msgspec.structs import astuple

from tailrace.cli.remedies import command_of, text_of
from tailrace.planning import notices, reasons, refusals, releases
from tailrace.planning.messages import Action, Advised, Message, Remedy, Sentence
from tailrace.planning.notices import DrivenByAnybody, LeftAsked
from tailrace.planning.reasons import AnyReason, BranchExcludes, PoolMissing

MODULES = (notices, reasons, refusals, releases)


def concrete(kind: type[Message] = Message) -> Iterator[type[Message]]:
    for each in kind.__subclasses__():
        if each.template and each.__module__.startswith("tailrace"):
            yield each
        yield from concrete(each)


KINDS = sorted(set(concrete()), key=lambda kind: kind.__name__)


def is_data(message: Message) -> bool:
    return all(isfinite(value) for value in astuple(message) if isinstance(value, float))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_can_be_rendered_whatever_its_data(kind: type[Message]) -> None:
    @given(st.from_type(kind))
    def tell(message: Message) -> None:
        assume(is_data(message))
        sentence = text_of(message)
        assert (sentence and str(message)) or isinstance(message, Sentence | Advised)
        if message.remedy is not None:
            assert command_of(message.remedy) or message.remedy.action is Action.REPEAT
        json.encode({"code": message.code, "fields": message.fields, "remedy": message.remedy})

    tell()


def test_codes_are_unique() -> None:
    assert len({each.__struct_config__.tag for each in KINDS}) == len(KINDS) > 70


def test_every_reason_can_be_stored_and_read() -> None:
    assert {kind for kind in KINDS if kind.__module__ == reasons.__name__} | {Sentence} == set(get_args(AnyReason))

    @given(st.one_of([st.from_type(kind) for kind in get_args(AnyReason)]))
    def keep(reason: Message) -> None:
        text = json.encode(to_builtins(reason))
        assume(is_data(reason) and "[]" not in str(text))  # a list in it, however deep, has something in it
        stored: Any = json.decode(text)
        assert convert(stored, AnyReason) == reason

    keep()


def test_data_is_never_taken_for_a_template() -> None:
    assert text_of(PoolMissing("{1}{0.pool}")).startswith("Pool '{1}{0.pool}' does not exist; create it with `")
    assert text_of(Sentence("{0}")) == "{0}"
    assert text_of(BranchExcludes("d", ())) == "Task d followed nothing, which excludes this task."


def test_numbers_choose_singular_or_plural() -> None:
    assert text_of(LeftAsked(1)) == "1 open run goes on: the schedule or a person asked for it"
    assert text_of(LeftAsked(3)) == "3 open runs go on: the schedule or a person asked for them"


def test_two_ways_to_go_on() -> None:
    driven = DrivenByAnybody("d", "r", 2, "2024-01-01", "2024-01-02", False, "my pool", True, False)
    here = "`tailrace backfill d -s 2024-01-01 -e 2024-01-02 --pool 'my pool' --disable-retry`"
    assert text_of(driven) == f"2 runs: a scheduler drives them (`tailrace scheduler`), or run them here: {here}"


@pytest.mark.parametrize("action", Action)
def test_every_action_has_a_command_line(action: Action) -> None:
    full = Remedy(action, "d", "r", "t", 1, "p", 2, "2024-01-01", "2024-01-02", command="tailrace backfill d")
    assert command_of(full).startswith("tailrace ")


def test_a_moment_is_shown_to_the_second() -> None:
    at = datetime(2024, 1, 1, 1, 2, 3, 4, tzinfo=UTC)
    assert text_of(reasons.RetryDelay(2, at)) == "Try 2 failed; the next may start at 2024-01-01T01:02:03+00:00."
