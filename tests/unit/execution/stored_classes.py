"""Classes of an author's whose objects pass between tasks, and some whose objects do not."""

import enum
import functools
from dataclasses import InitVar, dataclass, field
from typing import Any, NamedTuple


class Colour(enum.Enum):
    RED = "red"
    BLUE = (1, 2)
    ROSE = "red"  # noqa: PIE796  # an alias


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Word(enum.StrEnum):
    YES = "yes"


class Right(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class Point(NamedTuple):
    x: Any
    y: Any = None


@dataclass
class Order:
    number: int
    lines: Any = field(default_factory=list)
    checked: bool = field(default=False, init=False)
    secret: InitVar[int] = 3

    def __post_init__(self, secret: int) -> None:
        if self.number == 99:
            raise AssertionError("no code of the class runs when it is read")

    @functools.cached_property
    def total(self) -> int:
        return self.number * 2


@dataclass(frozen=True, slots=True)
class Place:
    name: str
    at: Any = None


class Outer:
    @dataclass
    class Inner:
        value: Any


class Plain:
    pass


@dataclass
class Numbers(list[int]):
    name: str = ""


def local() -> Any:
    @dataclass
    class Local:
        a: int = 1

    return Local()
