"""Ctrl-C while DAG files load ends the wait for them, also where Python lost the exception that it raised."""

import os
import signal
from pathlib import Path

import pytest

from tailrace.runtime.settings import load_settings
from tailrace.service import launch


class _Swallows:
    """What is raised as this is thrown away is dropped, as in a callback of Python's import."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(100):
            pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_lost_interrupt_ends_the_wait(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "hangs.py").write_text("import time\ntime.sleep(1000)\n")
    settings = load_settings({}, environ={}, cwd=tmp_path)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), launch._zygote(settings, lambda text: None) as zygote:
        _Swallows()
        zygote.loaded()
    assert signal.getsignal(signal.SIGINT) is before
