"""One thing that code can change of the process it runs in: how it is read, and how it is put back."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Aspect(NamedTuple):
    """``put`` raises whatever it likes where the value cannot be had back.

    ``own``: whether the tasks of the DAG file that changed it run with the change. ``plain``: nothing in a reading is
    an object of the author's, who says what equals it.
    """

    what: str
    read: Callable[[], Any]
    put: Callable[[Any], object]
    own: bool = True
    plain: bool = False
