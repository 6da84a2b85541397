"""How long a worker may let its task run: a part of the lease, from a moment before that was claimed or renewed."""

import math
import time

#: Of a lease: when the zygote kills the task of a worker that has not come back. Safely before its end.
_DEADLINE_PART = 0.9
#: Of a lease: an earlier try's deadline does for the next one while it is so far away. It is the stricter one, and the
#: first renewal, after a third, puts it off.
_ENOUGH_PART = 0.75
#: Of a lease: the zygote may act on a deadline that is so near before it receives another.
_TOO_NEAR_PART = 0.1


class LeaseClock:
    """Counts one worker's lease, in ``seconds``. Moments are of the monotonic clock."""

    def __init__(self) -> None:
        self.seconds = math.inf
        self.since = 0.0  # a moment before the lease was last claimed or renewed
        self._since_boot = 0.0  # the same by the clock that goes on while the host sleeps, as a lease does

    def begin(self) -> None:
        """A claim or a renewal comes next."""
        self.since, self._since_boot = time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)

    def deadline(self) -> float:
        """When the zygote must kill the task."""
        return self.since + self.seconds * _DEADLINE_PART

    def enough(self) -> float:
        """A deadline not before this does for a try that begins now."""
        return time.monotonic() + self.seconds * _ENOUGH_PART

    def too_near(self) -> float:
        """On a deadline before this the zygote may act before it receives another."""
        return time.monotonic() + self.seconds * _TOO_NEAR_PART

    def is_late(self) -> bool:
        """Whether the lease is so near its end that somebody may have seen it run out."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) >= self._since_boot + self.seconds * _DEADLINE_PART
