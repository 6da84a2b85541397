"""Templates that give values of their own kind: those of jinja2, without two of its surprises.

A value in which something is undefined is no value: it would reach the task as an object of jinja2's. And a text that
is written like a value that cannot be, ``{{}}`` say, is a text.
"""

from collections.abc import Iterable
from typing import Any

import jinja2
from jinja2.nativetypes import NativeEnvironment, NativeTemplate, native_concat


def _value_of(parts: Iterable[Any]) -> Any:
    parts = list(parts)
    _require_defined(parts)
    try:
        return native_concat(parts)
    except (TypeError, RecursionError):
        return "".join(map(str, parts))


def _require_defined(value: Any) -> None:
    if isinstance(value, jinja2.Undefined):
        str(value)  # raises what is undefined, and why
    elif type(value) is dict:
        _require_defined(list(value.values()))
    elif type(value) in (list, tuple):
        for each in value:
            _require_defined(each)


class OwnKindTemplate(NativeTemplate):
    """Gives what its one expression is, or the text of it all."""


class OwnKindEnvironment(NativeEnvironment):
    """Where such templates are compiled."""

    template_class = OwnKindTemplate
    concat = staticmethod(_value_of)  # type: ignore[assignment]


OwnKindTemplate.environment_class = OwnKindEnvironment
