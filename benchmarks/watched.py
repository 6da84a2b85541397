"""``python -m benchmarks.watched FILE COMMAND…``: runs it, and writes the longest step of its loop to FILE, in seconds.

A step is from the reading of a snapshot to the waiting for what comes next: reading, planning, writing, offering.
"""

import sys
import time
from pathlib import Path
from typing import Any

from tailrace.cli.main import tailrace
from tailrace.effects.requests import ReadSnapshot, Wait
from tailrace.runtime import driver

longest = 0.0
_perform = driver.JobDriver.perform
_begun: list[float] = []


def _watched(self: Any, effect: Any) -> Any:
    global longest
    if isinstance(effect, ReadSnapshot):
        _begun[:] = [time.perf_counter()]
    elif isinstance(effect, Wait) and _begun:
        longest = max(longest, time.perf_counter() - _begun.pop())
    return _perform(self, effect)


if __name__ == "__main__":
    driver.JobDriver.perform = _watched  # type: ignore[method-assign]
    try:
        tailrace(sys.argv[2:])
    finally:
        Path(sys.argv[1]).write_text(str(longest))
