"""Nearest names for what a person mistyped. Only for messages: nothing is ever done under a guessed name."""

import importlib
from collections.abc import Iterable, Sequence

#: Of what there is, where all of it is asked for.
_MOST_NAMED = 8


def nearest(
    name: str, known: Iterable[str], *, most: int = 3, likeness: float = 0.6, cut_short: bool = True
) -> tuple[str, ...]:
    """The known names most like ``name``, best first; none when nothing reaches ``likeness`` (0 to 1).

    ``cut_short``: those that merely begin with ``name`` too, or have it behind a dot: a task's, without its group's.
    """
    by_folded: dict[str, str] = {}
    for candidate in sorted(known):
        by_folded.setdefault(candidate.casefold(), candidate)
    folded = name.casefold()
    difflib = importlib.import_module("difflib")  # what most processes need not load
    close: list[str] = difflib.get_close_matches(folded, by_folded, n=most, cutoff=likeness)
    # A name cut short ("example_b") is not "close" by edit ratio, yet it is what a person types.
    begun = [each for each in by_folded if len(folded) > 1 and cut_short and each.startswith(folded)]
    inside = [each for each in by_folded if folded and cut_short and each.endswith(f".{folded}")]
    ordered = dict.fromkeys([*inside, *close, *begun])
    return tuple(by_folded[candidate] for candidate in ordered)[:most]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"; did you mean a or b?"``, or nothing when nothing is close: to be put at the end of a message."""
    return _asked(nearest(name, known))


def near_or_there(name: str, known: Iterable[str]) -> str:
    """The same; where nothing is close, what there is: ``"; it has a, b and 3 more"``."""
    names = list(dict.fromkeys(known))
    there = joined(few(names, _MOST_NAMED))
    return did_you_mean(name, names) or (f"; it has {there}" if there else "")


def did_you_write(name: str, known: Iterable[str], *, likeness: float = 0.6, cut_short: bool = True) -> str:
    """The same of names in code: two at most, as literals."""
    return _asked(tuple(map(repr, nearest(name, known, most=2, likeness=likeness, cut_short=cut_short))))


def few(names: Sequence[str], most: int) -> list[str]:
    """The names, or so many of them and how many more there are."""
    return [*names[:most], *([f"{len(names) - most:,} more"] if len(names) > most else [])]


def joined(names: Iterable[str], conjunction: str = "and") -> str:
    """``a, b and c``."""
    listed = list(names)
    if len(listed) < 2:
        return "".join(listed)
    return f"{', '.join(listed[:-1])} {conjunction} {listed[-1]}"


def _asked(names: tuple[str, ...]) -> str:
    return f"; did you mean {joined(names, 'or')}?" if names else ""
