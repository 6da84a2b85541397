"""A task that is new in an old DAG is filled into finished runs by real processes, one of which is killed meanwhile."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.acceptance.conftest import assert_sound, clean_environment

OLD = """
from datetime import datetime
from tailrace import DAG, BashOperator

with DAG("grown", schedule="@daily", start_date=datetime(2024, 1, 1)):
    first = BashOperator(task_id="first", bash_command="echo first {{ ds }} >> $LEDGER")
"""
NEW = OLD + '    first >> BashOperator(task_id="new", bash_command="sleep 0.2; echo new {{ ds }} >> $LEDGER")\n'
DATES = 6


def start(folder: Path, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tailrace", "backfill", "grown", "-s", "2024-01-01", "-e", f"2024-01-0{DATES}"]
    return subprocess.Popen(
        [*command, *options, "-w", "2", "-q", "-o", "json"],
        cwd=folder,
        env=clean_environment(LEDGER=str(folder / "ledger")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def ended(process: "subprocess.Popen[str]") -> dict[str, Any]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def test_a_part_that_is_killed_is_continued_and_touches_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "grown.py").write_text(OLD)
    ledger = tmp_path / "ledger"
    assert ended(start(tmp_path))["runs"] == {"success": DATES}
    before = ledger.read_text()
    (tmp_path / "dags" / "grown.py").write_text(NEW)
    killed = start(tmp_path, "--tasks", "new")
    deadline = time.monotonic() + 60
    while "new" not in ledger.read_text():
        assert time.monotonic() < deadline, "the backfill does not move"
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=60)
    done = ended(start(tmp_path, "--tasks", "new"))
    assert (done["backfill_id"], done["state"], done["part"]) == (2, "success", ["new"])
    assert (done["runs"], done["task_instances"]) == ({"success": DATES}, {"success": DATES})
    lines = Counter(ledger.read_text().splitlines())
    assert ledger.read_text().startswith(before)
    assert {line: count for line, count in lines.items() if "first" in line} == Counter(before.splitlines())
    assert len(lines) == 2 * DATES
    assert sum(lines.values()) <= 2 * DATES + 2  # at most those that its two workers had in hand
    assert_sound(tmp_path / ".tailrace")
