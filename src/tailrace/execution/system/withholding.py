"""Takes our own secrets out of this process before user code runs in it: out of its environment and out of its memory.

The memory is where the kernel put the environment when the program was started, which /proc/PID/environ shows for ever;
a fork has a copy of it, which is its own to change.
"""

import ctypes
import os

from tailrace.execution.system.withheld import is_secret, without_secrets


def withhold_secrets() -> None:
    """Forget them. Children get none either."""
    kept = without_secrets(os.environ)
    for name in [name for name in os.environ if name not in kept]:
        del os.environ[name]
    os.environ.update(kept)
    _overwrite()


def _overwrite() -> None:
    """Put zeros over the secrets among the variables that this program was started with."""
    try:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        start, end = int(fields[47]), int(fields[48])  # env_start and env_end
    except (OSError, IndexError, ValueError):
        return
    at = start
    for entry in ctypes.string_at(start, end - start).split(b"\0") if end > start > 0 else ():
        if is_secret(os.fsdecode(entry.partition(b"=")[0])):
            ctypes.memset(at, 0, len(entry))
        at += len(entry) + 1
