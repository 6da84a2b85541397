"""The dates that a task is given: datetimes with the methods of pendulum's, where that library is installed.

It is loaded when a method of its own is asked for, and by nothing else.
"""

import importlib
import sys
from datetime import datetime
from typing import Any, Self


class Moment(datetime):
    """A datetime. A method that it has not is pendulum's: ``logical_date.subtract(days=1)``."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            pendulum = importlib.import_module("pendulum")
        except ImportError:
            raise AttributeError(self.lacks(name)) from None
        return getattr(pendulum.instance(self.as_datetime()), name)

    def lacks(self, name: str) -> str:
        """What to say where it has no attribute of this name."""
        if "pendulum" in sys.modules:
            return f"neither datetime nor pendulum's has an attribute {name!r}"
        return f"a datetime has no {name!r}; if that is pendulum's, install the library: pip install pendulum"

    def as_datetime(self) -> datetime:
        """The same without pendulum's methods."""
        return datetime(
            self.year,
            self.month,
            self.day,
            self.hour,
            self.minute,
            self.second,
            self.microsecond,
            tzinfo=self.tzinfo,
            fold=self.fold,
        )

    @classmethod
    def of(cls, moment: datetime) -> Self:
        """The same moment, in the same zone."""
        return cls(
            moment.year,
            moment.month,
            moment.day,
            moment.hour,
            moment.minute,
            moment.second,
            moment.microsecond,
            tzinfo=moment.tzinfo,
            fold=moment.fold,
        )

    def __repr__(self) -> str:
        return repr(self.as_datetime())

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Elsewhere it is a datetime: whoever unpickles it need not have Tailrace."""
        return self.as_datetime().__reduce_ex__(protocol)


moment_of = Moment.of
