"""How the value of a setting is read: from a TOML file, a variable or an option, each mistake naming its place."""

import grp
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec import Struct

from tailrace.errors import CommandError
from tailrace.model.callbacks import EVERYWHERE
from tailrace.model.plain_text import on_one_line
from tailrace.model.suggestions import did_you_mean, joined

#: A switch as text, in a variable.
_YES_OR_NO = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


class Place(Struct, frozen=True):
    """Where a value was found: how to name it, and what a relative path in it is relative to."""

    origin: str
    folder: Path


#: How a text of ``[notify]`` begins, by which it is sent or run.
_TOLD = ("https://", "http://", "webhook:", "slack:", "mailto:", "shell:")


class Key(Struct, frozen=True):
    """One setting: its name in the file, its variable, and how its text or TOML value is read."""

    name: str
    read: Callable[[object, Place], object]

    @property
    def variable(self) -> str:
        return f"TAILRACE_{self.name.upper()}"


def bad(place: Place, name: str, expected: str, found: object) -> CommandError:
    where = place.origin.removeprefix("file ")
    key = "" if where.startswith(("environment", "option")) else f" {name}"
    shown = repr(found)
    if "@" in shown or "pass" in shown.lower():  # perhaps an address that somebody gave to the wrong setting
        return CommandError(f"{where}:{key} must be {expected}")
    return CommandError(f"{where}:{key} must be {expected}, not {shown}")


def plain_text(value: object, place: Place, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise bad(place, name, "text", value)
    return value


def file_path(name: str) -> Key:
    def read(value: object, place: Place) -> Path:
        text = str(value) if isinstance(value, Path) else plain_text(value, place, name)
        return Path(os.path.normpath(place.folder / os.path.expanduser(text)))

    return Key(name, read)


def choice(name: str, choices: tuple[str, ...]) -> Key:
    def read(value: object, place: Place) -> str:
        if value not in choices:
            raise bad(place, name, joined(choices, "or"), value)
        return str(value)

    return Key(name, read)


def folder_or_url(name: str) -> Key:
    """A folder, or the URL of one that fsspec knows."""

    def read(value: object, place: Place) -> str:
        text = plain_text(value, place, name)
        return text if "://" in text else os.path.normpath(place.folder / os.path.expanduser(text))

    return Key(name, read)


def class_name(name: str) -> Key:
    """A class, ``package.module:Class``, or the name of an entry point."""

    def read(value: object, place: Place) -> str:
        text = plain_text(value, place, name)
        if text and not all(map(str.isidentifier, text.replace("-", "_").replace(":", ".", 1).split("."))):
            raise bad(place, name, "a class, package.module:Class, or the name of one that a package registers", value)
        return text

    return Key(name, read)


def whole(name: str, least: int, most: int | None = None) -> Key:
    def read(value: object, place: Place) -> int:
        expected = f"a whole number, at least {least}" + ("" if most is None else f" and at most {most:,}")
        if isinstance(value, str) and re.fullmatch(r"\s*\d+\s*", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < least or value > (most or value):
            raise bad(place, name, expected, value)
        return value

    return Key(name, read)


def seconds(name: str, least: float) -> Key:
    def read(value: object, place: Place) -> float:
        expected = f"a number of seconds, at least {least:g}"
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                raise bad(place, name, expected, value) from None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value < float("inf"):
            raise bad(place, name, expected, value)
        return float(value)

    return Key(name, read)


def weight(name: str) -> Key:
    """How much room one kind of work gets beside another."""

    def read(value: object, place: Place) -> float:
        expected = "a number from 0.01 to 100"
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                raise bad(place, name, expected, value) from None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.01 <= value <= 100:
            raise bad(place, name, expected, value)
        return float(value)

    return Key(name, read)


def yes_or_no(name: str) -> Key:
    def read(value: object, place: Place) -> bool:
        read = _YES_OR_NO.get(value.strip().lower()) if isinstance(value, str) else value
        if not isinstance(read, bool):
            raise bad(place, name, "true or false", value)
        return read

    return Key(name, read)


def group(value: object, place: Place) -> str:
    """A group of this machine, by name or number; empty for none."""
    if value == "":
        return ""
    text = plain_text(value, place, "shared_group") if not isinstance(value, int) else str(value)
    try:
        return text if text.isdecimal() else grp.getgrnam(text).gr_name
    except KeyError:
        raise bad(place, "shared_group", "a group of this machine", value) from None


def names(name: str) -> Key:
    """One name or several: a list, or with commas between them."""

    def read(value: object, place: Place) -> tuple[str, ...]:
        given = value.split(",") if isinstance(value, str) else value
        if not isinstance(given, list | tuple) or not all(isinstance(each, str) for each in given):
            raise CommandError(f"{place.origin.removeprefix('file ')}: {name} must be text, or a list of texts")
        return tuple(stripped for each in given if (stripped := each.strip()))

    return Key(name, read)


def table(name: str) -> Key:
    """A table, or as text a JSON object. What is in it is not repeated: it may be secret."""

    def read(value: object, place: Place) -> Mapping[str, Any]:
        try:
            read = json.loads(value) if isinstance(value, str) else value
        except (ValueError, RecursionError):
            read = None
        if not isinstance(read, dict):
            raise CommandError(
                f"{place.origin.removeprefix('file ')}: {name} must be a table, or as text a JSON object"
            )
        return MappingProxyType(read)

    return Key(name, read)


def notified(value: object, place: Place) -> Mapping[str, tuple[str, ...]]:
    """Who is told of what, for all DAGs. What is in it is not repeated: an address may be a password."""
    where, told = place.origin.removeprefix("file "), dict[str, tuple[str, ...]]()
    found: Any = table("notify").read(value, place)
    for key, given in found.items():
        if key not in EVERYWHERE:
            known = did_you_mean(key, EVERYWHERE) or f"; there are {joined(sorted(EVERYWHERE))}"
            raise CommandError(f"{where}: notify has no {on_one_line(key)!r}{known}")
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not all(isinstance(each, str) and each.startswith(_TOLD) for each in texts):
            begins = joined(_TOLD, "or")
            raise CommandError(f"{where}: notify.{key} must be text that begins with {begins}, or a list of such")
        told[key] = tuple(texts)
    return MappingProxyType(told)
