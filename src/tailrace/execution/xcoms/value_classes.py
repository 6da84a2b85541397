"""The classes of an author's whose objects may pass between tasks, and how each is found again by its name.

Found again is a class that an ``import`` in the DAG file would find, and that is a dataclass, a named tuple, an
enumeration or a model of pydantic's: nothing else can be named by what is stored. An object is made again with the
fields that it had; no code of its class runs for that.
"""

import dataclasses
import enum
import functools
import importlib
import sys
from typing import Any

from tailrace.model.json_values import NotStorable

#: What pydantic keeps of a model beside its fields.
_OF_MODEL = ("__pydantic_extra__", "__pydantic_fields_set__", "__pydantic_private__")
#: The same in its first version.
_OF_OLD_MODEL = ("__fields_set__",)

#: Such classes hold more than their fields.
_BUILT_IN = (list, dict, str, int, float, bytes, bytearray, set, frozenset, tuple, BaseException)


class NoSuchClass(Exception):
    """A class that is not found by its name; the message says why."""


def kind_of(cls: type) -> str:
    """Which kind of class it is; "" for one whose objects do not pass between tasks."""
    if issubclass(cls, enum.Enum):
        return "enum"
    if issubclass(cls, tuple) and isinstance(getattr(cls, "_fields", None), tuple):
        return "named tuple"
    if issubclass(cls, _BUILT_IN):
        return ""
    if _is_model(cls):
        return "model"
    return "data class" if dataclasses.is_dataclass(cls) else ""


def name_of(cls: type) -> str:
    """The name by which it is found again. Raises NotStorable for one that would not be."""
    name = f"{cls.__module__}:{cls.__qualname__}"
    if "<locals>" in cls.__qualname__:
        raise NotStorable(
            f"{cls.__qualname__} is a class made inside a function, which no other process finds; write it at the top "
            "level of a module"
        )
    try:
        found = class_named(name)
    except NoSuchClass as lost:
        raise NotStorable(f"its class {name} would not be found again: {lost}") from None
    if found is not cls:
        raise NotStorable(f"its class {name} would not be found again: that name is another class's")
    return name


def class_named(name: str) -> type:
    """The class of this name. Raises NoSuchClass."""
    module_name, _, path = name.partition(":")
    module = sys.modules.get(module_name)
    if module is None:
        if module_name.partition(".")[0] in sys.stdlib_module_names or not module_name:
            raise NoSuchClass(f"module {module_name!r} holds no class of an author's")
        try:
            module = importlib.import_module(module_name)
        except Exception as failed:
            raise NoSuchClass(f"{type(failed).__name__}: {failed}") from None
    found: Any = module
    for part in path.split("."):
        found = vars(found).get(part) if isinstance(found, type) else getattr(found, part, None)
    if not isinstance(found, type) or found.__qualname__ != path or found.__module__ != module_name:
        raise NoSuchClass(f"{module_name} has no class {path}")
    if not kind_of(found):
        raise NoSuchClass(f"{name} is no dataclass, named tuple, enumeration or model of pydantic's")
    return found


def fields_of(value: Any, kind: str) -> dict[str, Any]:
    """What an object is made of, by name."""
    if kind != "data class":
        return dict(value.__dict__)
    named = [each.name for each in dataclasses.fields(value)]
    missing = [name for name in named if not hasattr(value, name)]
    if missing:
        raise NotStorable(f"the field {missing[0]} of {type(value).__qualname__} has no value")
    more = [name for name in getattr(value, "__dict__", ()) if name not in named and not _is_cache(type(value), name)]
    if more:
        raise NotStorable(f"{type(value).__qualname__} has {more[0]!r} here, which is no field of it")
    return {name: getattr(value, name) for name in named}


def _is_cache(cls: type, name: str) -> bool:
    """Of what its fields come to: that is computed again."""
    return isinstance(getattr(cls, name, None), functools.cached_property)


def rest_of(value: Any) -> dict[str, Any]:
    """What pydantic keeps of a model beside its fields, by name."""
    return {name: getattr(value, name) for name in _rest_names(type(value))}


def _rest_names(cls: type) -> tuple[str, ...]:
    return _OF_MODEL if hasattr(cls, _OF_MODEL[0]) else _OF_OLD_MODEL


def made_again(cls: type, fields: dict[str, Any], rest: dict[str, Any]) -> Any:
    """An object of the class with these fields."""
    value: Any = object.__new__(cls)
    if kind_of(cls) == "data class":
        named = {each.name for each in dataclasses.fields(cls)}
        if named != fields.keys():
            odd = sorted(named ^ fields.keys())[0]
            raise NoSuchClass(f"{cls.__qualname__} has other fields by now: {odd} is {_where(odd in named)}")
        for name, each in fields.items():
            object.__setattr__(value, name, each)
        return value
    object.__setattr__(value, "__dict__", dict(fields))
    for name in _rest_names(cls):
        object.__setattr__(value, name, rest.get(name))
    return value


def _where(there: bool) -> str:
    return "not in what was stored" if there else "no field of it"


def _is_model(cls: type) -> bool:
    """Pydantic is not loaded for that: whoever has a model has loaded it."""
    return any(each.__name__ == "BaseModel" and each.__module__.startswith("pydantic.") for each in cls.__mro__)
