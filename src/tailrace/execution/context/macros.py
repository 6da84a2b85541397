"""The ``macros`` of templates."""

import importlib
from datetime import datetime, timedelta
from types import ModuleType

#: Loaded by the template that uses them: each would make every task's process larger.
_MODULES = ("time", "uuid", "random", "json", "dateutil")


def ds_add(ds: str, days: int) -> str:
    """``ds`` moved by whole days: ``ds_add("2024-01-31", 1)`` is ``2024-02-01``."""
    return (datetime.fromisoformat(ds) + timedelta(days=days)).date().isoformat()


def ds_format(ds: str, input_format: str, output_format: str) -> str:
    """``ds`` read by one strftime format and written by another."""
    return datetime.strptime(ds, input_format).strftime(output_format)  # noqa: DTZ007  # only its text is used


def ds_format_locale(ds: str, input_format: str, output_format: str, locale: str | None = None) -> str:
    """``ds`` read by a strftime format and written by one of CLDR, as in ``d MMMM y``, in a locale (default ``en``)."""
    try:
        dates = importlib.import_module("babel.dates")
    except ModuleNotFoundError:
        raise LookupError("macros.ds_format_locale needs the library Babel: pip install Babel") from None
    read = datetime.strptime(ds, input_format)  # noqa: DTZ007  # only its text is used
    written: str = dates.format_datetime(read, format=output_format, locale=locale or "en")
    return written


class _Macros:
    """``ds_add``, ``ds_format``, ``ds_format_locale``, ``datetime``, ``timedelta``, and some modules."""

    ds_add = staticmethod(ds_add)
    ds_format = staticmethod(ds_format)
    ds_format_locale = staticmethod(ds_format_locale)
    datetime = datetime
    timedelta = timedelta

    def __getattr__(self, name: str) -> ModuleType:
        if name not in _MODULES:
            raise AttributeError(f"macros has no {name!r}")
        try:
            module = importlib.import_module(name)
            if name == "dateutil":
                for part in ("parser", "relativedelta", "rrule", "tz"):
                    importlib.import_module(f"dateutil.{part}")
        except ModuleNotFoundError:
            raise LookupError(
                "macros.dateutil needs the library python-dateutil: pip install python-dateutil"
            ) from None
        return module


MACROS = _Macros()
