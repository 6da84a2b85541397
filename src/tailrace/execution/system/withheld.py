"""Which of our own variables no user code gets: addresses, passwords, keys and tokens of Tailrace's.

A person's own (PGPASSWORD and the like) stay. A ``tailrace`` that a task starts learns by ``WITHHELD`` that there was
an address, lest it begin another metastore unnoticed.
"""

import re
from collections.abc import Mapping

from tailrace.secrets.names import SecretKind, is_sensitive, own_prefix

WITHHELD = "TAILRACE_DATABASE_URL_WITHHELD"

_VARIABLE = own_prefix(SecretKind.VARIABLE)
_WHOLE = (own_prefix(SecretKind.CONNECTION), "TAILRACE_SECRETS_")
_SECRET = re.compile(r"TAILRACE_(?:.*_)?(?:URL|URI|DSN|PASSWORD|PASSWD|SECRET|TOKEN|KEY|CREDENTIALS?)S?", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Whether this variable is one of ours that user code has no need of.

    Connections, and Variables whose name says that they are secret, a task asks its worker for.
    """
    if name.startswith(_VARIABLE):
        return is_sensitive(name.removeprefix(_VARIABLE))
    return name.startswith(_WHOLE) or _SECRET.fullmatch(name) is not None


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment for processes in which user code will run."""
    kept = {name: value for name, value in environ.items() if not is_secret(name)}
    if environ.get("TAILRACE_DATABASE_URL"):
        kept[WITHHELD] = "1"
    return kept
