"""Classes of a person's own that a setting names: ``package.module:Class``, or the name of an entry point."""

import importlib
from typing import Any

from tailrace.errors import EnvironmentBroken


def class_of(name: str, group: str, setting: str, what: str) -> Any:
    """The class of this name. Raises EnvironmentBroken, which says what of the setting is wrong.

    A name without a dot is one that an installed package has registered as an entry point of the group.
    """
    module, colon, attribute = name.partition(":")
    if not colon:
        module, _, attribute = name.rpartition(".")
    if not module:
        metadata = importlib.import_module("importlib.metadata")  # 10 ms that every job would pay before its zygote
        for entry in metadata.entry_points(group=group, name=name):
            return entry.load()
        raise EnvironmentBroken(
            f"there is no {what} {name!r}: no installed package registers it as {group}; "
            f"{setting} may also name a class, package.module:Class"
        )
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as wrong:
        raise EnvironmentBroken(f"the {what} {name} cannot be imported: {wrong}") from None
