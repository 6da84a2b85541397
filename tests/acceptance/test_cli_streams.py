"""A command whose standard streams are closed does its work and says nothing there."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import clean_environment


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams(tmp_path: Path, closed: str) -> None:
    command = f"{sys.executable} -m tailrace backfill example_bash_operator -s 2024-01-01 -w 1 {closed}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "bug" not in done.stderr
    listed = f"{sys.executable} -m tailrace runs list example_bash_operator {closed}"
    assert subprocess.run(["bash", "-c", listed], cwd=tmp_path, env=clean_environment(), check=True).returncode == 0
