"""Which names are those of secrets, and the environment variables that hold a Variable or a Connection."""

import re
import shlex
from collections.abc import Mapping
from enum import StrEnum

from tailrace.model.names import key_error

#: In a name without its separators: what it names is a secret.
_WORDS = (
    *("password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey", "authkey", "privatekey"),
    *("authorization", "credential", "connectionstring", "keyfiledict", "serviceaccount"),
)
_SEPARATORS = re.compile("[^a-z0-9]+")

#: In this order: Tailrace's own name goes before Airflow's.
_PREFIXES = ("TAILRACE", "AIRFLOW")


class SecretKind(StrEnum):
    """What is stored: a Variable or a Connection."""

    VARIABLE = "variable"
    CONNECTION = "connection"

    @property
    def shown(self) -> str:
        """As people call it."""
        return self.value.capitalize()


def is_sensitive(name: str) -> bool:
    """Whether what has this name is a secret: it says password, token, api_key or the like."""
    plain = _SEPARATORS.sub("", name.lower())
    return any(word in plain for word in _WORDS)


def name_error(kind: SecretKind, name: object) -> str | None:
    """What is wrong with the key of a Variable or the id of a Connection, behind "… must be"; None: nothing."""
    if isinstance(name, str) and not name:
        return "a name, not ''"
    return key_error(name)


def environment_names(kind: SecretKind, name: str) -> tuple[str, ...]:
    """The environment variables that may hold it, the first that is set wins."""
    part = "VAR" if kind is SecretKind.VARIABLE else "CONN"
    return tuple(f"{prefix}_{part}_{str.upper(name)}" for prefix in _PREFIXES)


def in_environment(kind: SecretKind, name: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """The environment variable that holds it and its text, if one does."""
    for variable in environment_names(kind, name):
        try:
            text = environ.get(variable)
        except (ValueError, UnicodeError):  # no environment can have a variable of that name
            continue
        if text is not None:
            return variable, text
    return None


def how_to_set(kind: SecretKind, name: str) -> str:
    """How a person sets it, for the error that says that it is not there."""
    variable = environment_names(kind, name)[0]
    value = "VALUE" if kind is SecretKind.VARIABLE else "URI"
    command = f"`tailrace {kind.value}s set {shlex.quote(name)} {value}`"
    return f"set it with {command}, or in the environment as {variable}"
