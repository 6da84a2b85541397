"""Failures of one task whose errors differ in numbers only are one group, with its first and last date."""

from datetime import UTC, datetime, timedelta

from tailrace.planning.failure_groups import Failed, grouped, same_error

DAY = datetime(2024, 1, 1, tzinfo=UTC)


def at(day: int) -> datetime:
    return DAY + timedelta(days=day)


def test_what_varies_is_no_other_error() -> None:
    assert same_error("row 17 of 2024-01-01 at 0x7ffe12 is wrong") == same_error("row 4 of 2024-01-02 at 0x1 is wrong")
    assert same_error("id 3fa85f64-5717-4562-b3fc-2c963f66afa6") == same_error(
        "id 1ab85f64-5717-4562-b3fc-2c963f66a000"
    )
    assert same_error("no such table: orders") != same_error("no such table: customers")


def test_groups_are_by_task_and_error_the_greatest_first() -> None:
    found = grouped(
        [
            Failed("b", "row 3", 2, at(3), at(4)),
            Failed("a", "boom", 4, at(0), at(9)),
            Failed("b", "row 1", 3, at(1), at(7)),
            Failed("a", "bang", 4, at(2), at(2)),
        ]
    )
    assert found == (
        Failed("b", "row 1", 5, at(1), at(7)),
        Failed("a", "boom", 4, at(0), at(9)),
        Failed("a", "bang", 4, at(2), at(2)),
    )
    assert grouped([]) == ()
