"""A DAG as a picture: SVG that stands by itself, light or dark as its reader has it."""

import unicodedata
from xml.etree import ElementTree as xml

from tailrace.graphs.layers import Placed, Point, placed
from tailrace.graphs.nesting import Nested, Node, name_of
from tailrace.model.plain_text import visible_line
from tailrace.model.spec import DagSpec, GroupSpec, TaskSpec

#: Of text, in pixels: a column of 13 px monospace, a line; and around it.
_COLUMN, _LINE, _PAD = 7.9, 18.0, 10.0
_MARGIN = 16.0
#: What is said about a task, and labels, are smaller by this.
_SMALL = 11 / 13
#: A label on an arrow is this long at most, in columns: the whole is in its title.
_LONGEST = 24

_STYLE = """
svg { font: 13px ui-monospace, monospace; background: #ffffff }
text { fill: #1f2328 } .about { fill: #59636e; font-size: 11px }
.task { fill: #f6f8fa; stroke: #59636e }
.group { fill: #59636e; fill-opacity: 0.07; stroke: #59636e; stroke-dasharray: 4 3 }
.way { fill: none; stroke: #59636e } .tip { fill: #59636e }
.label, .halo { font-size: 11px; text-anchor: middle } .halo { fill: none; stroke: #ffffff; stroke-width: 4px }
@media (prefers-color-scheme: dark) {
  svg { background: #0d1117 } text { fill: #e6edf3 } .about { fill: #9198a1 }
  .task { fill: #151b23; stroke: #9198a1 } .group { fill: #9198a1; stroke: #9198a1 }
  .way { stroke: #9198a1 } .tip { fill: #9198a1 } .halo { stroke: #0d1117 }
}
"""


def svg(dag: DagSpec) -> str:
    """The text of the picture. A group is a box around its tasks; what is mapped has a second edge."""
    nested = Nested(dag)
    box = _Box(nested, None)
    width, height = box.size[0] + 2 * _MARGIN, box.size[1] + 2 * _MARGIN
    root = xml.Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {width:.0f} {height:.0f}")
    root.set("width", f"{width:.0f}")
    root.set("height", f"{height:.0f}")
    xml.SubElement(root, "title").text = dag.dag_id
    xml.SubElement(root, "style").text = _STYLE
    tip = xml.SubElement(xml.SubElement(root, "defs"), "marker", id="tip", viewBox="0 0 8 8", refX="8", refY="4")
    tip.set("markerWidth", "7")
    tip.set("markerHeight", "7")
    tip.set("orient", "auto")
    xml.SubElement(tip, "path", {"d": "M0 0 L8 4 L0 8 z", "class": "tip"})
    box.draw(root, (_MARGIN, _MARGIN))
    return xml.tostring(root, encoding="unicode")


class _Box:
    """A task, a group with what is in it, or the whole DAG (None): how large it is, and how it is drawn."""

    def __init__(self, nested: Nested, node: Node | None) -> None:
        self._nested, self._node = nested, node
        self._about = "" if node is None else nested.describe(node)
        self._inside: dict[str, _Box] = {}
        self._ways: dict[tuple[str, str], str] = {}
        self._placed = Placed()
        if not isinstance(node, TaskSpec):
            self._place_inside("" if node is None else node.group_id)
        self.size = self._measured()

    def _place_inside(self, group: str) -> None:
        for each in self._nested.within(group):
            self._inside[name_of(each)] = _Box(self._nested, each)
        for name in self._inside:
            for after, label in self._nested.following(name):
                self._ways[name, name_of(after)] = label
        widths = {way: _columns(_shortened(label)) * _SMALL * _COLUMN for way, label in self._ways.items()}
        self._placed = placed({name: box.size for name, box in self._inside.items()}, widths)

    def _measured(self) -> Point:
        placed = self._placed
        if self._node is None:
            return placed.width, placed.height
        name = _columns(name_of(self._node)) * _COLUMN
        if isinstance(self._node, GroupSpec):
            return max(placed.width, name) + 2 * _PAD, placed.height + _LINE + 2 * _PAD
        return max(name, _columns(self._about) * _COLUMN * _SMALL) + 2 * _PAD, 2 * _LINE + _PAD

    def draw(self, into: xml.Element, at: Point) -> None:
        """Draw it with its left upper corner there."""
        x, y = at
        if self._node is not None:
            into = xml.SubElement(into, "g")
            xml.SubElement(into, "title").text = f"{name_of(self._node)}: {self._about}"
            self._draw_own(into, x, y)
            x, y = x + _PAD, y + _PAD + _LINE
        for (before, after), points in self._placed.arrows.items():
            _draw_way(into, [(x + px, y + py) for px, py in points], self._ways[before, after])
        for name, box in self._inside.items():
            left, top = self._placed.corners[name]
            box.draw(into, (x + left, y + top))

    def _draw_own(self, into: xml.Element, x: float, y: float) -> None:
        is_task = isinstance(self._node, TaskSpec)
        if self._node is not None and self._nested.is_mapped(self._node):
            _rectangle(into, "task" if is_task else "group", x + 4, y + 4, self.size)
        _rectangle(into, "task" if is_task else "group", x, y, self.size)
        assert self._node is not None, "the whole DAG has no edge of its own"
        _text(into, "", x + _PAD, y + _LINE, name_of(self._node))
        if is_task:
            _text(into, "about", x + _PAD, y + 2 * _LINE, self._about)


def _rectangle(into: xml.Element, kind: str, x: float, y: float, size: Point) -> None:
    where = {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": f"{size[0]:.1f}", "height": f"{size[1]:.1f}", "rx": "5"}
    xml.SubElement(into, "rect", {"class": kind, **where})


def _text(into: xml.Element, kind: str, x: float, y: float, text: str) -> None:
    element = xml.SubElement(into, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", **({"class": kind} if kind else {})})
    element.text = visible_line(text)


def _draw_way(into: xml.Element, points: list[Point], label: str) -> None:
    """A curve that leaves and arrives level."""
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x, y), (to_x, to_y) in zip(points, points[1:], strict=False):
        middle = (x + to_x) / 2
        path += f" C{middle:.1f} {y:.1f} {middle:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}"
    xml.SubElement(into, "path", {"class": "way", "d": path, "marker-end": "url(#tip)"})
    if label:
        (x, y), (to_x, to_y) = points[0], points[1]
        for kind in ("halo", "label"):  # what is behind it must not strike it through
            _text(into, kind, (x + to_x) / 2, (y + to_y) / 2 - 3, _shortened(label))
        xml.SubElement(into[-1], "title").text = visible_line(label)


def _shortened(label: str) -> str:
    return label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}…"


def _columns(text: str) -> int:
    """How many columns of monospace it takes, about: wide characters take two."""
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in visible_line(text))
