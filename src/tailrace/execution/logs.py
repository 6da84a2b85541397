"""Where a try's log file is, and how its process's output gets there: at descriptor level, children included."""

import os
import sys
from pathlib import Path

from tailrace.model.keys import UNMAPPED, TryKey


def log_path(home: Path, key: TryKey) -> Path:
    """``<home>/logs/<dag_id>/<run_id>/<task_id>[/<map_index>]/<try>.log``."""
    ti = key.task_instance
    folder = home / "logs" / ti.dag_id / ti.run_id / ti.task_id
    if ti.map_index != UNMAPPED:
        folder /= str(ti.map_index)
    return folder / f"{key.try_number}.log"


def write_streams_by_line() -> None:
    """Make Python's output streams hold back no whole line; done once, before any fork, for every task to inherit.

    New streams, not the old ones reconfigured: those remember whether what descriptors 1 and 2 led to when Python
    started could be sought in, and fail once a descriptor leads to a pipe instead.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)


def send_output_to(path: Path) -> None:
    """From here on, whatever this process and its children write goes to ``path``."""
    os.makedirs(path.parent, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    if descriptor > 2:
        os.close(descriptor)
