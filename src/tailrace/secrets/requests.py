"""What a process asks of whoever may read Variables and Connections for it, and the replies."""

from typing import TypeAlias

from msgspec import Struct

from tailrace.secrets.names import SecretKind

#: No value may be longer, in bytes: what is larger is data, and belongs into a file.
LONGEST_VALUE = 1024 * 1024


class SecretQuery(Struct, frozen=True):
    """Asks for the text of a Variable or a Connection."""

    kind: SecretKind
    name: str


class VariableChange(Struct, frozen=True):
    """Asks to set a Variable in the metastore, or to delete it (``value`` None)."""

    name: str
    value: str | None
    description: str | None = None


class SecretFound(Struct, frozen=True):
    """The text, and where it was found; None: nowhere. The reply to a change says what stands in its way (origin)."""

    text: str | None
    origin: str = ""


class SecretRefused(Struct, frozen=True):
    """It cannot be given, or set, and why, in one line that never holds the value."""

    why: str


SecretRequest: TypeAlias = SecretQuery | VariableChange
SecretReply: TypeAlias = SecretFound | SecretRefused
