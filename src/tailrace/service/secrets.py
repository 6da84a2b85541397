"""Variables and Connections, as a person lists, reads and sets them: what is stored, and what goes before it."""

import json
import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tailrace.errors import CommandError, EnvironmentBroken
from tailrace.metastore.commands.secrets import NewSecret, SecretsWritten, StoredSecret
from tailrace.metastore.store import Metastore
from tailrace.model.plain_text import is_storable, on_one_line
from tailrace.model.suggestions import did_you_mean
from tailrace.planning.messages import Action, Advised, Refused, Remedy
from tailrace.runtime.opening import new_write_id
from tailrace.runtime.secrets import SecretSettings
from tailrace.secrets.connection_text import NotAConnection, fields_of, json_of
from tailrace.secrets.lookup import Lookup, cipher_of
from tailrace.secrets.masked_values import has_short_secret
from tailrace.secrets.names import SecretKind, environment_names, in_environment, name_error
from tailrace.secrets.requests import SecretFound, SecretQuery, SecretRefused
from tailrace.service.stores import Stores

_SETS = {SecretKind.VARIABLE: Action.SET_VARIABLE, SecretKind.CONNECTION: Action.SET_CONNECTION}


class SecretShown(Struct, frozen=True, omit_defaults=True):
    """One that is stored, as it is listed. ``trouble``: why its value cannot be read. ``before``: what hides it."""

    name: str
    description: str
    set: datetime
    set_by: str = ""
    value: str | None = None
    conn_type: str | None = None
    host: str | None = None
    port: int | None = None
    login: str | None = None
    trouble: str = ""
    before: str = ""


class SecretSet(Struct, frozen=True):
    """One that was set; ``before`` is the environment variable that goes before it, if one does.

    ``short``: a secret in it is too short to be masked.
    """

    created: bool
    before: str = ""
    short: bool = False


class KeyRotated(Struct, frozen=True):
    """What was encrypted anew, with the first key of ``origin``; ``left`` is not decrypted, and stays as it is."""

    rewritten: int
    left: tuple[str, ...]
    origin: str
    from_environment: bool


def list_secrets(stores: Stores, kind: SecretKind, *, values: bool) -> tuple[SecretShown, ...]:
    """All that are stored; their values only if asked for, the parts of a Connection but its password always."""
    metastore = stores.reading()
    if metastore is None:
        return ()
    lookup = _lookup(stores, metastore)
    return tuple(_shown(lookup, each, values) for each in metastore.list_secrets(kind))


def _shown(lookup: Lookup, stored: StoredSecret, values: bool) -> SecretShown:
    kind, name = stored.kind, stored.name
    shown = SecretShown(name, stored.description, stored.set_at, stored.set_by, before=_in_environment(kind, name))
    reply = lookup.decrypted(kind, name, stored.value)
    if isinstance(reply, SecretRefused):
        return replace(shown, trouble=reply.why)
    if kind is SecretKind.VARIABLE:
        return replace(shown, value=reply.text if values else None)
    try:
        fields = fields_of(reply.text or "")
    except NotAConnection as wrong:
        return replace(shown, trouble=str(wrong))
    parts = {name: fields[name] for name in ("conn_type", "host", "port", "login")}
    return replace(shown, value=reply.text if values else None, **parts)


def get_secret(stores: Stores, kind: SecretKind, name: str) -> SecretFound | None:
    """The text, wherever it is found first, and where; None where there is none."""
    require_name(kind, name)
    metastore = stores.reading()
    reply = _lookup(stores, metastore).reply(SecretQuery(kind, name))
    if isinstance(reply, SecretRefused):
        raise EnvironmentBroken(f"{kind.shown} {name!r}: {reply.why}")
    return None if reply.text is None else reply


def require_secret(stores: Stores, kind: SecretKind, name: str) -> SecretFound:
    """The same; raises CommandError where there is none."""
    found = get_secret(stores, kind, name)
    if found is None:
        missing = f"there is no {kind.shown} {name!r}"
        if guess := _guess(stores, kind, name):
            raise CommandError(f"{missing}{guess}")
        otherwise = on_one_line(f", or in the environment as {environment_names(kind, name)[0]}")
        raise Refused(Advised((f"{missing}; set it with ", Remedy(_SETS[kind], name=name), otherwise)))
    return found


def set_secret(stores: Stores, kind: SecretKind, name: str, text: str, description: str | None) -> SecretSet:
    """Store it, encrypted. Raises CommandError for what cannot be stored."""
    written = set_secrets(stores, kind, {name: (text, description)})
    return SecretSet(written.created > 0, _in_environment(kind, name), has_short_secret(kind, name, text))


def set_secrets(stores: Stores, kind: SecretKind, given: Mapping[str, tuple[str, str | None]]) -> SecretsWritten:
    """Store all of them, each a text and perhaps what it is for, or none."""
    for name in given:
        require_name(kind, name)
    settings = SecretSettings.of(stores.settings)
    metastore = stores.opened()
    lookup = settings.lookup(lambda: metastore)
    settings.prepare()
    return metastore.write_secrets(
        [_new(lookup, kind, name, text, description) for name, (text, description) in given.items()], new_write_id()
    )


def _new(lookup: Lookup, kind: SecretKind, name: str, text: str, description: str | None) -> NewSecret:
    if kind is SecretKind.CONNECTION:
        try:
            fields = fields_of(text)
        except NotAConnection as wrong:
            raise CommandError(f"Connection {name!r}: {wrong}") from None
        description = fields["description"] if description is None else description
        text = json_of(fields | {"description": description or None})
    for what, each in (("value", text), ("description", description)):
        if each is not None and not is_storable(each):
            raise CommandError(f"{kind.shown} {name!r}: its {what} must be text that can be stored, without NUL")
    encrypted = lookup.encrypted(kind, name, text)
    if isinstance(encrypted, SecretRefused):
        raise CommandError(f"{kind.shown} {name!r} cannot be set: {encrypted.why}")
    return NewSecret(kind, name, encrypted, description)


def delete_secret(stores: Stores, kind: SecretKind, name: str) -> str:
    """Delete what is stored under this name; returns the environment variable that still has one, if one does."""
    require_name(kind, name)
    metastore = stores.existing()
    deleted = metastore is not None and metastore.write_secrets([NewSecret(kind, name, None)], new_write_id()).deleted
    before = _in_environment(kind, name)
    if not deleted:
        where = f"; {before} in the environment is not this command's to delete" if before else ""
        raise CommandError(f"no {kind.shown} {name!r} is stored{where or _guess(stores, kind, name)}")
    return before


def export_secrets(stores: Stores, kind: SecretKind) -> dict[str, Any]:
    """All that are stored, in the clear: as ``import_secrets`` takes them. Raises EnvironmentBroken for one that is
    not decrypted.
    """
    metastore = stores.reading()
    found: dict[str, Any] = {}
    if metastore is not None:
        lookup = _lookup(stores, metastore)
        for each in metastore.list_secrets(kind):
            reply = lookup.decrypted(kind, each.name, each.value)
            if isinstance(reply, SecretRefused):
                raise EnvironmentBroken(f"{kind.shown} {each.name!r}: {reply.why}")
            text = reply.text or ""
            found[each.name] = text if kind is SecretKind.VARIABLE else json.loads(text)
    return found


def import_secrets(stores: Stores, kind: SecretKind, text: str, where: str, existing: str) -> tuple[int, int]:
    """Store what a JSON object says, all or nothing; returns how many were set, and how many skipped.

    ``existing``: what becomes of those that are stored already: overwrite, skip or fail.
    """
    given = given_secrets(kind, text, where)
    metastore = stores.reading()
    known = set() if metastore is None else {each.name for each in metastore.list_secrets(kind)}
    if existing == "fail" and (there := sorted(known & given.keys())):
        raise CommandError(f"{where}: {kind.shown} {there[0]!r} is stored already; --existing overwrite or skip")
    wanted = {name: value for name, value in given.items() if existing == "overwrite" or name not in known}
    if wanted:
        set_secrets(stores, kind, {name: (text, None) for name, text in wanted.items()})
    return len(wanted), len(given) - len(wanted)


def given_secrets(kind: SecretKind, text: str, where: str) -> dict[str, str]:
    """What a JSON object says, as it is stored; ``where`` it was read from. Raises CommandError."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise CommandError(f"{where}: expected a JSON object, of a value for each name")
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}


def rotate_key(stores: Stores) -> KeyRotated:
    """Encrypt all that is stored anew, with a new key; the former ones stay, for those who still use them."""
    metastore = stores.existing()
    secrets = [] if metastore is None else [each for kind in SecretKind for each in metastore.list_secrets(kind)]
    settings = SecretSettings.of(stores.settings)
    if metastore is None or not secrets:
        raise CommandError("nothing is stored that a key encrypts; the first value that is stored makes one")
    lookup = settings.lookup(lambda: metastore)
    new, left = list[NewSecret](), list[str]()
    keys = lookup.keys.add_first()
    cipher = cipher_of(keys.keys)
    for each in secrets:
        reply = lookup.decrypted(each.kind, each.name, each.value)
        if isinstance(reply, SecretFound):
            text = cipher.encrypt(each.kind, each.name, reply.text or "")
            new.append(NewSecret(each.kind, each.name, text, expected=each.value))
        else:
            left.append(f"{each.kind.shown} {each.name!r}")
    written = metastore.write_secrets(new, new_write_id())
    return KeyRotated(written.changed, tuple(left), keys.origin, lookup.keys.is_from_environment)


def names_of(stores: Stores, kind: SecretKind) -> Iterable[str]:
    """The names of those that are stored."""
    metastore = stores.reading()
    return () if metastore is None else (each.name for each in metastore.list_secrets(kind))


def require_name(kind: SecretKind, name: str) -> None:
    """Raise CommandError for what can be no name."""
    if wrong := name_error(kind, name):
        raise CommandError(f"the name of a {kind.shown} must be {wrong}")


def _lookup(stores: Stores, metastore: Metastore | None) -> Lookup:
    return SecretSettings.of(stores.settings).lookup(lambda: metastore)


def _in_environment(kind: SecretKind, name: str) -> str:
    """The variable of the environment that goes before what is stored; "": none does."""
    found = in_environment(kind, name, os.environ)
    return "" if found is None else found[0]


def _guess(stores: Stores, kind: SecretKind, name: str) -> str:
    return did_you_mean(name, list(names_of(stores, kind)))
