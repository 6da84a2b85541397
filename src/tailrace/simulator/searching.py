"""Exhaustive search: every choice of a small world, depth first, each history replayed from its beginning.

Two things keep it finite and small. *Bounds*: letting somebody else go while the last one could have gone on is a
preemption, a fault is a disruption, and there are at most so many of each. *Memory*: a history that arrives in a state
it or another one was in before, with no more left to spend, ends there, for all that follows has been or will be seen.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tailrace.simulator.choices import Option, SeenBefore


@dataclass(slots=True)
class Search:
    """What all histories of one search know together."""

    preemptions: int
    disruptions: int
    states: dict[str, list[tuple[int, int]]] = field(default_factory=dict)  # what was left to spend, by state
    steps: dict[str, set[str]] = field(default_factory=dict)  # states one step before, by state
    ended: set[str] = field(default_factory=set)  # states from which a history ended
    histories: int = 0
    _path: list[tuple[int, str]] = field(default_factory=list)  # the newest history: trace length and state
    _prefix: list[int] | None = field(default_factory=list)

    def choosers(self) -> Iterator["Searching"]:
        """A chooser for each history there is. Run each to its end before asking for the next."""
        while self._prefix is not None:
            # Where the histories part, they have the states before in common.
            self._path = [(length, state) for length, state in self._path if length < len(self._prefix)]
            chooser = Searching(self, self._prefix)
            yield chooser
            self.histories += 1
            if self._path and not chooser.joined:
                self.ended.add(self._path[-1][1])
            self._prefix = _next_prefix(chooser.ranks, chooser.widths)

    def arrive(self, length: int, state: str, left: tuple[int, int]) -> None:
        """The newest history is in ``state``, with so many preemptions and disruptions left."""
        before = self._path[-1][1] if self._path else None
        if before is not None:
            self.steps.setdefault(state, set()).add(before)
        self._path.append((length, state))
        spent = self.states.setdefault(state, [])
        if any(each[0] >= left[0] and each[1] >= left[1] for each in spent):
            raise SeenBefore
        spent.append(left)

    def trapped(self) -> int:
        """How many states there are from which no history ended: each is a world that never finishes."""
        free = set(self.ended)
        front = list(free)
        while front:
            for state in self.steps.get(front.pop(), ()):
                if state not in free:
                    free.add(state)
                    front.append(state)
        return len(self.states.keys() - free)


class Searching:
    """The choices of one history of a search: those of a prefix, then always the first."""

    merges = True

    def __init__(self, search: Search, prefix: Sequence[int]) -> None:
        self._search = search
        self._prefix = prefix
        self._left = (search.preemptions, search.disruptions)
        self._last: str | None = None
        self.trace: list[int] = []  # the choices, as a replay takes them
        self.ranks: list[int] = []  # the same in the order of the search
        self.widths: list[int] = []
        self.joined = False  # it ended where another history has been before

    def arrive(self, state: Callable[[], str]) -> None:
        """Ends the history where nothing new can follow."""
        if len(self.ranks) < len(self._prefix):
            return
        try:
            self._search.arrive(len(self.ranks), f"{state()} {self._last}", self._left)
        except SeenBefore:
            self.joined = True
            raise

    def pick(self, options: Sequence[Option]) -> int:
        """The next option of the search: staying with the last one comes first and costs nothing."""
        preemptions, disruptions = self._left
        names = [option.name for option in options]
        stay = names.index(self._last) if self._last in names else None
        goes_on = stay is not None and options[stay].pressing
        # Whoever goes on could be preempted; and to wake for nothing while others work is a preemption too.
        anybody = any(option.pressing for option in options)
        free = [place for place, option in enumerate(options) if option.pressing or not anybody]
        if goes_on and stay is not None:
            free = [stay]
        costly = [place for place in range(len(options)) if place not in free] if preemptions else []
        order = free + costly
        chosen = order[self._follow(len(order))]
        if chosen in costly:
            self._left = (preemptions - 1, disruptions)
        self._last = options[chosen].name
        self.trace.append(chosen)
        return chosen

    def chance(self, name: str, probability: float) -> bool:
        """No, then yes, while disruptions are left."""
        preemptions, disruptions = self._left
        if probability <= 0 or disruptions == 0:
            return False
        happens = bool(self._follow(2))
        self.trace.append(int(happens))
        self._left = (preemptions, disruptions - happens)
        return happens

    def _follow(self, width: int) -> int:
        place = len(self.ranks)
        chosen = self._prefix[place] if place < len(self._prefix) else 0
        self.ranks.append(chosen)
        self.widths.append(width)
        return chosen


def _next_prefix(ranks: Sequence[int], widths: Sequence[int]) -> list[int] | None:
    """The prefix of the next history, depth first, or None when all have been seen."""
    for place in range(len(ranks) - 1, -1, -1):
        if ranks[place] + 1 < widths[place]:
            return [*ranks[:place], ranks[place] + 1]
    return None
