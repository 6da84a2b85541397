"""Params as an author writes them: values by name that a run's conf may replace, with a JSON Schema if wanted."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tailrace.authoring.arguments.param_schemas import fault_of_schema, fault_of_value
from tailrace.authoring.mistakes.dag_errors import MISSING
from tailrace.model.json_values import NotStorable, json_text, stored_form
from tailrace.model.plain_text import is_storable, shown
from tailrace.model.spec import ParamSpec


class Param:
    """A value that a run may be given, with what it must be.

    ``default``: JSON; left out, each run must be given one with ``--conf``. ``description`` and ``schema``: any keyword
    of JSON Schema, such as ``type="integer"``, ``minimum=1``, ``enum=[…]``, ``format="date"``.
    """

    def __init__(self, default: Any = MISSING, description: str | None = None, **schema: Any) -> None:
        self.default = default
        self.description = description
        self.schema = schema

    def __repr__(self) -> str:
        return f"Param({'' if self.default is MISSING else repr(self.default)})"


class Params(Mapping[str, Any]):
    """The params of a DAG or a task: its values are the defaults of those that have one."""

    def __init__(self, specs: Iterable[ParamSpec] = ()) -> None:
        self.specs = tuple(specs)
        self._defaults = {each.name: each.default for each in self.specs if each.default is not None}

    def __getitem__(self, name: str) -> Any:
        return json.loads(self._defaults[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._defaults)

    def __len__(self) -> int:
        return len(self._defaults)

    def __repr__(self) -> str:
        return repr(dict(self))

    @property
    def without_default(self) -> list[str]:
        """The names of those that a run must be given."""
        return [each.name for each in self.specs if each.default is None]


def read_params(written: Any) -> Params:
    """Reads a dict of values and ``Param``s; None is none. Raises ValueError for what cannot be one."""
    if written is None:
        return Params()
    if isinstance(written, Params):
        return written
    if not isinstance(written, Mapping):
        raise ValueError(f"must be a dict, not {shown(written)}")
    return Params(_param(_name(name), value) for name, value in written.items())


def _name(name: object) -> str:
    if not isinstance(name, str) or not name or not is_storable(name):
        raise ValueError(f"must have texts as keys, not {shown(name)}")
    return str.__str__(name)


def _param(name: str, written: Any) -> ParamSpec:
    """Its own copy of what was written: whoever changes that later changes no run."""
    param = written if isinstance(written, Param) else Param(written)
    described = {"description": param.description} if param.description else {}
    try:
        schema = stored_form({**param.schema, **described})
        default = None if param.default is MISSING else stored_form(param.default)
    except NotStorable as wrong:
        raise ValueError(f"{name!r} must be JSON: {wrong}") from None
    if param.schema:
        if wrong_schema := fault_of_schema(schema):
            raise ValueError(f"{name!r} has a schema that is none: {wrong_schema}")
        if param.default is not MISSING and (fault := fault_of_value(default, schema)):
            raise ValueError(f"{name!r} has a default that does not fit: {fault}")
    return ParamSpec(
        name=name,
        default=None if param.default is MISSING else json_text(default),
        schema=json_text(schema) if schema else "",
    )
