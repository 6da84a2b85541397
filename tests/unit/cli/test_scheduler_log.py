"""A scheduler's log: the time stands before a message, and a command that needs several lines can be copied."""

from datetime import UTC, datetime

import pytest

from tailrace.cli.commands.scheduler import SchedulerLog
from tailrace.cli.console import Console
from tests.unit.cli.test_failure_lines import a_try


@pytest.mark.parametrize("columns", [40, 80, 291])
def test_a_failure_has_one_time_and_a_command_to_copy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setattr("tailrace.cli.commands.scheduler.columns_of", lambda stream: columns)
    log = SchedulerLog(Console(), lambda: datetime(2024, 1, 1, 10, 2, 3, tzinfo=UTC))
    log.on_failure(a_try(error="no such table: orders, nor any other that would do"))
    log.on_message("a sentence that is longer than a narrow terminal, and goes on in another line of it")
    lines = capsys.readouterr().err.splitlines()
    assert all(len(line) <= columns for line in lines)
    assert [line[:10] for line in lines if not line.startswith(" " * 10)] == ["10:02:03Z "] * 2
    assert lines[0].startswith("10:02:03Z failed: etl.load @ 2024-01-01")
    typed = " ".join(line.strip().removesuffix(" \\") for line in lines)
    assert "tailrace tasks logs etl load 2024-01-01T00:00Z" in typed
