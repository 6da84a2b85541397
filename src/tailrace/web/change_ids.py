"""Which ids of changes have been seen, where a lower one may be seen after a higher one.

Who takes an id may commit after who took the next one, so that a gap below the newest may yet be filled; it never is
once every transaction that was under way when it was noticed has ended. All up to ``low`` has been seen: that is where
a reader who left can go on.
"""

from collections.abc import Sequence

from msgspec import Struct

#: More gaps than this are not followed: readers begin anew.
MOST_GAPS = 200


class _Gap(Struct):
    first: int
    last: int
    until: int | None = None  # over, once no transaction below this is under way; None: noticed just now


class ChangeIds:
    """The ids up to ``high``, and the gaps below it."""

    def __init__(self, high: int) -> None:
        self.high = high
        self._gaps: list[_Gap] = []

    @property
    def low(self) -> int:
        """All up to here has been seen, or never will be."""
        return self._gaps[0].first - 1 if self._gaps else self.high

    @property
    def lacking(self) -> tuple[tuple[int, int], ...]:
        """The gaps, each by its first and last id."""
        return tuple((gap.first, gap.last) for gap in self._gaps)

    def take(self, ids: Sequence[int]) -> None:
        """These, in their order, are seen now."""
        for id in ids:
            if id > self.high:
                if id > self.high + 1:
                    self._gaps.append(_Gap(self.high + 1, id - 1))
                self.high = id
            else:
                self._gaps = [part for gap in self._gaps for part in _without(gap, id)]

    def give_up(self, oldest: int, next: int) -> None:
        """Forget gaps that nobody can fill: of a moment in which all that could be seen was, no transaction older than
        ``oldest`` was under way, and ``next`` was the next one.

        One that was just noticed is kept for one more look: who took an id may not have been counted yet.
        """
        self._gaps = [gap for gap in self._gaps if gap.until is None or gap.until > oldest]
        for gap in self._gaps:
            gap.until = next if gap.until is None else gap.until

    def forget(self) -> bool:
        """Forget all gaps where there are too many to follow; whether there were."""
        too_many = len(self._gaps) > MOST_GAPS
        if too_many:
            self._gaps = []
        return too_many


def _without(gap: _Gap, id: int) -> list[_Gap]:
    if not gap.first <= id <= gap.last:
        return [gap]
    parts = (_Gap(gap.first, id - 1, gap.until), _Gap(id + 1, gap.last, gap.until))
    return [part for part in parts if part.first <= part.last]
