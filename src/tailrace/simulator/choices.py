"""Where a world's choices come from: a seed, a recorded trace, or a search that tries them all."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

#: How often one process goes in a row after the end of a replayed trace, while others have something to do.
_MOST_IN_A_ROW = 25


class Option(Struct, frozen=True):
    """Somebody who may go now. ``weight`` is how likely a seed lets them; one who only waits is not pressing."""

    name: str
    pressing: bool = True
    weight: float = 1.0


class Chooser(Protocol):
    """Makes every choice of a world; the choices are its trace."""

    trace: list[int]
    merges: bool  # effects that nobody else can see are no choices of their own

    def arrive(self, state: Callable[[], str]) -> None:
        """A world is between two steps; ``state`` tells its whole state. May raise SeenBefore."""

    def pick(self, options: Sequence[Option]) -> int:
        """The place of the chosen option; there is at least one."""

    def chance(self, name: str, probability: float) -> bool:
        """Whether a fault happens."""


class SeenBefore(Exception):
    """A search has been in this state before: nothing that follows would be new."""


class Seeded:
    """Choices drawn from a seed: one seed is one history."""

    merges = False

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"choices {seed}")
        self.trace: list[int] = []

    def arrive(self, state: Callable[[], str]) -> None:
        """A seed remembers nothing."""

    def pick(self, options: Sequence[Option]) -> int:
        """One of them, by weight."""
        choose_up_to = self._random.random() * sum(option.weight for option in options)
        chosen = 0
        for place, option in enumerate(options):
            chosen = place
            choose_up_to -= option.weight
            if choose_up_to < 0:
                break
        self.trace.append(chosen)
        return chosen

    def chance(self, name: str, probability: float) -> bool:
        """True that often. What cannot happen is no choice."""
        if probability <= 0:
            return False
        happens = self._random.random() < probability
        self.trace.append(int(happens))
        return happens


class Replayed:
    """The choices of a recorded trace, by their place among all choices. Everywhere else nothing unusual happens.

    Usual is: no fault, and whoever went last goes on while there is reason. A trace that was shortened so names only
    the choices that matter; ``deviations`` is those as text.
    """

    def __init__(self, recorded: Mapping[int, int], *, merges: bool = False) -> None:
        self.merges = merges  # of a search's trace: as the search did
        self._recorded = recorded
        self._last = ""
        self._in_a_row = 0
        self.trace: list[int] = []
        self.deviations: list[str] = []

    def arrive(self, state: Callable[[], str]) -> None:
        """A replay remembers nothing."""

    def pick(self, options: Sequence[Option]) -> int:
        """What was chosen then, or the last option where that many no longer exist."""
        place = len(self.trace)
        chosen = self._go_on(options)
        if place in self._recorded:
            usual, chosen = chosen, min(self._recorded[place], len(options) - 1)
            if chosen != usual:
                self.deviations.append(f"{options[chosen].name}, rather than {options[usual].name}")
        self._in_a_row = self._in_a_row + 1 if options[chosen].name == self._last else 0
        self._last = options[chosen].name
        self.trace.append(chosen)
        return chosen

    def _go_on(self, options: Sequence[Option]) -> int:
        """The last one again, but not for ever: everybody with something to do gets a turn."""
        able = [place for place, option in enumerate(options) if option.pressing] or list(range(len(options)))
        last = [place for place in able if options[place].name == self._last]
        if last and self._in_a_row < _MOST_IN_A_ROW:
            return last[0]
        after = [place for place in able if last and place > last[0]]
        return (after or able)[0]

    def chance(self, name: str, probability: float) -> bool:
        """What happened then, if it can happen at all."""
        if probability <= 0:
            return False
        happens = bool(self._recorded.get(len(self.trace)))
        if happens:
            self.deviations.append(name)
        self.trace.append(int(happens))
        return happens


def whole(trace: Sequence[int]) -> Mapping[int, int]:
    """A trace in which every choice is recorded."""
    return dict(enumerate(trace))
