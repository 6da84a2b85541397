"""The world's time: it moves only when the world says so."""

from datetime import UTC, datetime, timedelta

_BEGINNING = datetime(2030, 1, 1, tzinfo=UTC)


class FalseClock:
    """Wall and lease clock of a simulated world, in one."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def advance(self, seconds: float) -> None:
        """Let this much time pass."""
        self.seconds += seconds

    def wall(self) -> datetime:
        """Wall time, aware, in UTC."""
        return _BEGINNING + timedelta(seconds=self.seconds)

    def lease(self) -> float:
        """Seconds by which leases are measured."""
        return self.seconds

    def epoch(self) -> str:
        """The simulated boot."""
        return "simulated"
