"""Places boxes in layers from left to right, each to the right of what it follows, with few crossings.

After Sugiyama, Tagawa and Toda (1981): layers by the longest way, a bend in each layer that an arrow passes, and an
order in each by the middle of what it is joined to. Lengths are in pixels. Knows nothing of DAGs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Between layers, between boxes of one, and what an arrow that passes takes.
_ACROSS, _BETWEEN, _PASSING = 48.0, 16.0, 8.0

#: With more bends than these nobody could follow the arrows: those that pass a layer go straight through it.
_MOST_BENDS = 20_000

#: Sweeps there and back, after which more change little.
_SWEEPS = 4

Point = tuple[float, float]


@dataclass
class Placed:
    """Where each box's left upper corner is, the points that each arrow goes through, and how large all of it is."""

    corners: dict[str, Point] = field(default_factory=dict)
    arrows: dict[tuple[str, str], list[Point]] = field(default_factory=dict)
    width: float = 0.0
    height: float = 0.0


def placed(sizes: Mapping[str, Point], arrows: Mapping[tuple[str, str], float]) -> Placed:
    """Place boxes of these sizes, given in an order in which all arrows but a few go forward.

    With each arrow comes how wide the label is that stands near its beginning.
    """
    order = {name: at for at, name in enumerate(sizes)}
    forward = [each for each in arrows if order[each[0]] < order[each[1]]]
    layer = dict.fromkeys(sizes, 0)
    by_first: dict[str, list[str]] = {}
    for before, after in forward:
        by_first.setdefault(before, []).append(after)
    for name in sizes:
        for after in by_first.get(name, ()):
            layer[after] = max(layer[after], layer[name] + 1)
    layers: list[list[str]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for name in sizes:
        layers[layer[name]].append(name)
    spans = {each: layer[each[1]] - layer[each[0]] for each in forward}
    longest = max(spans.values(), default=0) if sum(spans.values()) <= _MOST_BENDS else 1
    ways = {each: _way(each, layer, layers) if span <= longest else list(each) for each, span in spans.items()}
    _uncross(layers, [ways[each] for each, span in spans.items() if span <= longest])
    across = [_ACROSS] * len(layers)
    for each in forward:
        across[layer[each[0]]] = max(across[layer[each[0]]], arrows[each] + _ACROSS / 2)
    return _coordinates(sizes, layers, across, ways, [each for each in arrows if each not in ways])


def _way(arrow: tuple[str, str], layer: Mapping[str, int], layers: list[list[str]]) -> list[str]:
    """The boxes and bends that an arrow goes through, one in each layer; new bends are put into their layers."""
    bends = []
    for at in range(layer[arrow[0]] + 1, layer[arrow[1]]):
        bends.append(f"{arrow[0]}\n{arrow[1]}\n{at}")  # no box is named so
        layers[at].append(bends[-1])
    return [arrow[0], *bends, arrow[1]]


def _uncross(layers: list[list[str]], ways: list[list[str]]) -> None:
    """Sort each layer by the middle of what its boxes and bends are joined to, in the layer before and after."""
    left: dict[str, list[str]] = {}
    right: dict[str, list[str]] = {}
    for way in ways:
        for before, after in zip(way, way[1:], strict=False):
            right.setdefault(before, []).append(after)
            left.setdefault(after, []).append(before)
    for sweep in range(_SWEEPS):
        joined, going = (left, layers) if sweep % 2 == 0 else (right, layers[::-1])
        for layer, beside in zip(going[1:], going, strict=False):
            place = {name: at for at, name in enumerate(beside)}
            own = {name: at for at, name in enumerate(layer)}
            layer.sort(key=lambda name: (_middle([place[each] for each in joined.get(name, ())], own[name]), own[name]))


def _middle(places: list[int], otherwise: int) -> float:
    return sum(places) / len(places) if places else float(otherwise)


def _coordinates(
    sizes: Mapping[str, Point],
    layers: list[list[str]],
    across: list[float],
    ways: Mapping[tuple[str, str], list[str]],
    backward: list[tuple[str, str]],
) -> Placed:
    found = Placed()
    heights = [sum(_height(name, sizes) + _BETWEEN for name in layer) - _BETWEEN for layer in layers]
    found.height = max(heights, default=0.0)
    middles: dict[str, Point] = {}
    widths: dict[str, float] = {}
    x = 0.0
    for layer, height, beyond in zip(layers, heights, across, strict=True):
        wide = max((sizes[name][0] for name in layer if name in sizes), default=0.0)
        y = (found.height - height) / 2
        for name in layer:
            own = _height(name, sizes)
            if name in sizes:
                found.corners[name] = (x, y)
            widths[name] = sizes[name][0] if name in sizes else wide
            middles[name] = (x, y + own / 2)
            y += own + _BETWEEN
        found.width = x + wide
        x += wide + beyond
    for arrow, way in ways.items():
        points: list[Point] = []
        for name in way:
            left, right = middles[name], (middles[name][0] + widths[name], middles[name][1])
            points += [right] if name == way[0] else [left] if name == way[-1] else [left, right]
        found.arrows[arrow] = points
    for before, after in backward:
        found.arrows[before, after] = [(middles[before][0] + widths[before], middles[before][1]), middles[after]]
    return found


def _height(name: str, sizes: Mapping[str, Point]) -> float:
    return sizes[name][1] if name in sizes else _PASSING
