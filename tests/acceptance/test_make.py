"""``make`` says which Python it needs before anything else, where there is none that will do."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

MAKE = shutil.which("make")
NEEDS = "Tailrace needs Python 3.11 or newer, and found none; name one: make PYTHON=/path/to/python3.11"


@pytest.mark.skipif(MAKE is None, reason="there is no make")
@pytest.mark.parametrize("target", ["", "venv", "test"])
def test_the_python_it_needs_is_named_first(tmp_path: Path, target: str) -> None:
    root = Path(__file__).parents[2]
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(root / name, tmp_path)
    of_make = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")  # of the make that runs the tests
    environment = {name: value for name, value in os.environ.items() if name not in of_make}
    command = [str(MAKE), "PYTHON=/nonexistent/python", *([target] if target else [])]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stderr.splitlines()[0].rstrip() == f"{NEEDS} {target}".rstrip()
    assert (done.returncode == 0, bool(done.stdout)) == (target == "", target == "")
    assert not (tmp_path / ".venv").exists()
