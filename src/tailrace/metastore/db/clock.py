"""What time it is, by the metastore's own clocks. The only place of this package that reads one.

Two clocks, for two uses. *Wall* time stamps what people read. *Lease* time only measures how long somebody has sent no
heartbeat, and must not jump when a person sets the date: on SQLite it is CLOCK_BOOTTIME of the one machine that has the
file, counted within one boot; on PostgreSQL it is the server's ``clock_timestamp()``, the same for every host.
"""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from msgspec import Struct

_BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """Where a metastore's time comes from; the simulator gives its own."""

    def wall(self) -> datetime:
        """The moment for stamps that people read: aware, in UTC."""

    def lease(self) -> float:
        """Seconds by which leases are measured; never goes back within one epoch."""

    def epoch(self) -> str:
        """Names what ``lease`` counts from. A lease of another epoch has run out: its holder cannot be alive."""


class MachineClock:
    """The clocks of this machine, for a metastore that is a file on it."""

    def __init__(self) -> None:
        self._epoch = _BOOT_ID_FILE.read_text().strip() if _BOOT_ID_FILE.exists() else "boot"

    def wall(self) -> datetime:
        """Wall time, aware, in UTC."""
        return datetime.now(UTC)

    def lease(self) -> float:
        """Seconds since boot, those the machine slept included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def epoch(self) -> str:
        """The boot id."""
        return self._epoch


class TransactionTime(Struct, frozen=True):
    """The time of one transaction: one reading of each clock.

    ``grace_from`` is the lease time at which the store itself started: heartbeats could not be written before, so no
    lease runs out until one lease after it.
    """

    wall: datetime
    lease: float
    epoch: str
    grace_from: float | None = None

    def expired(self, until: float | None, epoch: str | None, seconds: float | None) -> bool:
        """Whether a lease that was to last until then, granted for ``seconds``, has run out."""
        return self.left(until, epoch, seconds) <= 0

    def left(self, until: float | None, epoch: str | None, seconds: float | None) -> float:
        """How many seconds such a lease still lasts; 0 or less when it has run out, 0 where nobody knows since when."""
        if until is None or epoch != self.epoch:
            return 0.0
        if self.grace_from is not None and seconds is not None:
            until = max(until, self.grace_from + seconds)
        return until - self.lease


def read(clock: Clock) -> TransactionTime:
    """One reading of a clock."""
    return TransactionTime(clock.wall(), clock.lease(), clock.epoch())


def of_server(now: datetime, started: datetime) -> TransactionTime:
    """The time of a PostgreSQL server, with the time it started."""
    return TransactionTime(now.astimezone(UTC), now.timestamp(), "server", started.timestamp())
