"""Where a world's choices come from: a seed, a recorded trace, or a search that tries them all."""

import random
from collections.abc import Sequence
from typing import Protocol


class Chooser(Protocol):
    """Answers every question a world asks; the answers are its trace."""

    trace: list[int]

    def pick(self, options: Sequence[str]) -> int:
        """The place of the chosen option; there is at least one."""

    def chance(self, name: str, probability: float) -> bool:
        """Whether a fault happens."""


class Seeded:
    """Choices drawn from a seed: one seed is one history."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"choices {seed}")
        self.trace: list[int] = []

    def pick(self, options: Sequence[str]) -> int:
        """One of them, evenly."""
        chosen = self._random.randrange(len(options))
        self.trace.append(chosen)
        return chosen

    def chance(self, name: str, probability: float) -> bool:
        """True that often."""
        happens = self._random.random() < probability
        self.trace.append(int(happens))
        return happens


class Replayed:
    """The choices of a recorded trace; when it ends, the first option and no fault."""

    def __init__(self, recorded: Sequence[int]) -> None:
        self._recorded = list(recorded)
        self.trace: list[int] = []

    def _next(self) -> int:
        place = len(self.trace)
        return self._recorded[place] if place < len(self._recorded) else 0

    def pick(self, options: Sequence[str]) -> int:
        """What was chosen then; the last option where that many no longer exist."""
        chosen = min(self._next(), len(options) - 1)
        self.trace.append(chosen)
        return chosen

    def chance(self, name: str, probability: float) -> bool:
        """What happened then, if it could happen at all."""
        happens = bool(self._next()) and probability > 0
        self.trace.append(int(happens))
        return happens


class Searching:
    """Follows a prefix, then always the first option, and remembers how many options each choice had.

    A pick of another actor than the last one, while that one could go on, is a preemption; once ``preemptions`` of
    them are spent only the last actor is offered. Crashes are bounded likewise.
    """

    def __init__(self, prefix: Sequence[int], preemptions: int, crashes: int) -> None:
        self._prefix = list(prefix)
        self._preemptions = preemptions
        self._crashes = crashes
        self._last: str | None = None
        self.trace: list[int] = []
        self.widths: list[int] = []

    def _follow(self, width: int) -> int:
        place = len(self.trace)
        chosen = self._prefix[place] if place < len(self._prefix) else 0
        self.trace.append(chosen)
        self.widths.append(width)
        return chosen

    def pick(self, options: Sequence[str]) -> int:
        """The next option of the search: staying with the last actor comes first and costs nothing."""
        order = list(range(len(options)))
        if self._last in options:
            stay = options.index(self._last)
            order.remove(stay)
            order.insert(0, stay)
            if self._preemptions == 0:
                order = [stay]
        rank = self._follow(len(order))
        chosen = order[rank]
        if self._last in options and options[chosen] != self._last:
            self._preemptions -= 1
        self._last = options[chosen]
        return chosen

    def chance(self, name: str, probability: float) -> bool:
        """No, then yes, while crashes are left."""
        if probability <= 0 or self._crashes == 0:
            return False
        happens = bool(self._follow(2))
        self._crashes -= int(happens)
        return happens


def next_prefix(trace: Sequence[int], widths: Sequence[int]) -> list[int] | None:
    """The prefix of the next history of a depth-first search, or None when all have been seen."""
    for place in range(len(trace) - 1, -1, -1):
        if trace[place] + 1 < widths[place]:
            return [*trace[:place], trace[place] + 1]
    return None
