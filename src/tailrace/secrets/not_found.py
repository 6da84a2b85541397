"""What an author reads of a Variable or a Connection that is not there: in a task's log, or as a note on a DAG file."""

import shlex

from tailrace.model.plain_text import on_one_line
from tailrace.secrets.names import SecretKind, environment_names


def not_found_text(kind: SecretKind, name: str) -> str:
    """That it is not there, and how it is set, in one line."""
    value = "VALUE" if kind is SecretKind.VARIABLE else "URI"
    command = f"`tailrace {kind.value}s set {shlex.quote(name)} {value}`"
    variable = environment_names(kind, name)[0]
    return on_one_line(f"there is no {kind.shown} {name!r}; set it with {command}, or in the environment as {variable}")
