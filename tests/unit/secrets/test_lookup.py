"""Where a Variable or a Connection is found first, and what is said where it cannot be read."""

import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tailrace.secrets import backends
from tailrace.secrets.backends import backends_of
from tailrace.secrets.connection import Connection
from tailrace.secrets.keys import KeyStore, new_key
from tailrace.secrets.lookup import Lookup
from tailrace.secrets.names import SecretKind
from tailrace.secrets.requests import LONGEST_VALUE, SecretFound, SecretQuery, SecretRefused, VariableChange

V, C = SecretKind.VARIABLE, SecretKind.CONNECTION
KEY = new_key()


class Kept:
    """Stands for the metastore: what is stored, encrypted."""

    def __init__(self) -> None:
        self.rows: dict[tuple[SecretKind, str], str] = {}

    def read_secret(self, kind: SecretKind, name: str) -> str | None:
        return self.rows.get((kind, name))

    def some_secrets(self, kind: SecretKind, but: str) -> Sequence[tuple[SecretKind, str, str]]:
        return [(*key, text) for key, text in self.rows.items() if key != (kind, but)]


class Vault:
    """A backend, as a person writes one."""

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix

    def get_variable(self, key: str) -> Any:
        if key == "breaks":
            raise RuntimeError("MARK")
        return {f"{self.prefix}a": "of the vault", f"{self.prefix}n": 5}.get(key)

    def get_connection(self, conn_id: str) -> Any:
        return {
            "uri": "x://me:pw@host",
            "fields": {"conn_type": "x", "port": "5"},
            "named": {"conn_id": "named", "conn_type": "x"},
            "dict of a uri": {"uri": "x://host"},
            "object": Connection("object", "x", host="h"),
            "wrong": {"hots": "MARK"},
        }.get(conn_id)


class Half:
    """A backend that knows no Connections."""

    def get_variable(self, key: str) -> str | None:
        return "half" if key == "half" else None


NAME = f"{__name__}:Vault"


def lookup(
    kept: Kept, tmp_path: Path, environ: Mapping[str, str] | None = None, names: Sequence[str] = (), **arguments: Any
) -> Lookup:
    given = {"TAILRACE_SECRET_KEY": KEY, **(environ or {})}
    return Lookup(KeyStore(tmp_path / "secret.key", given), backends_of(names, arguments), lambda: kept, given)


def store(looked: Lookup, kept: Kept, kind: SecretKind, name: str, text: str) -> None:
    encrypted = looked.encrypted(kind, name, text)
    assert isinstance(encrypted, str)
    kept.rows[kind, name] = encrypted


def test_the_environment_goes_first_then_backends_then_what_is_stored(tmp_path: Path) -> None:
    kept = Kept()
    looked = lookup(kept, tmp_path)
    store(looked, kept, V, "a", "stored")
    ask = SecretQuery(V, "a")
    assert looked.reply(ask) == SecretFound("stored", "metastore")
    assert lookup(kept, tmp_path, names=[NAME]).reply(ask) == SecretFound("of the vault", f"secrets backend {NAME}")
    environ = {"AIRFLOW_VAR_A": "airflow's"}
    assert lookup(kept, tmp_path, environ, [NAME]).reply(ask) == SecretFound("airflow's", "environment AIRFLOW_VAR_A")
    environ["TAILRACE_VAR_A"] = ""
    assert lookup(kept, tmp_path, environ).reply(ask) == SecretFound("", "environment TAILRACE_VAR_A")
    assert looked.reply(SecretQuery(V, "b")) == looked.reply(SecretQuery(C, "a")) == SecretFound(None)


@pytest.mark.parametrize("conn_id", ["uri", "fields", "named", "dict of a uri", "object"])
def test_a_backend_may_return_a_connection_in_any_form(tmp_path: Path, conn_id: str) -> None:
    reply = lookup(Kept(), tmp_path, names=[NAME]).reply(SecretQuery(C, conn_id))
    assert isinstance(reply, SecretFound) and reply.text is not None
    assert Connection.from_text(conn_id, reply.text).conn_type == "x"


def test_several_backends_are_asked_in_turn_each_with_its_arguments(tmp_path: Path) -> None:
    half = f"{__name__}.Half"
    looked = lookup(Kept(), tmp_path, None, [half, NAME], **{NAME: {"prefix": "p/"}})
    assert looked.reply(SecretQuery(V, "half")) == SecretFound("half", f"secrets backend {half}")
    assert looked.reply(SecretQuery(V, "p/a")) == SecretFound("of the vault", f"secrets backend {NAME}")
    assert looked.reply(SecretQuery(V, "p/n")) == SecretFound("5", f"secrets backend {NAME}")
    assert looked.reply(SecretQuery(C, "uri")) == SecretFound("x://me:pw@host", f"secrets backend {NAME}")


@pytest.mark.parametrize(
    "name, query, why",
    [
        (NAME, SecretQuery(V, "breaks"), "raised RuntimeError"),
        (NAME, SecretQuery(C, "wrong"), "is no Connection"),
        ("nowhere_at_all:X", SecretQuery(V, "a"), "cannot be imported"),
        (f"{__name__}:Nothing", SecretQuery(V, "a"), "cannot be imported"),
        ("unregistered", SecretQuery(V, "a"), "no installed package registers it"),
    ],
)
def test_what_is_wrong_with_a_backend_is_said(tmp_path: Path, name: str, query: SecretQuery, why: str) -> None:
    reply = lookup(Kept(), tmp_path, names=[name]).reply(query)
    assert isinstance(reply, SecretRefused) and why in reply.why and "MARK" not in reply.why


def test_a_backend_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()
    monkeypatch.setattr(backends, "SECONDS", 0.01)
    monkeypatch.setattr(Vault, "get_variable", lambda self, key: goes_on.wait(60))
    reply = lookup(Kept(), tmp_path, names=[NAME]).reply(SecretQuery(V, "a"))
    goes_on.set()
    assert isinstance(reply, SecretRefused) and "did not reply within" in reply.why


def test_what_does_not_decrypt_harms_nothing_else(tmp_path: Path) -> None:
    kept = Kept()
    looked = lookup(kept, tmp_path)
    store(looked, kept, V, "good", "fine")
    kept.rows[V, "bad"], kept.rows[V, "moved"] = "no ciphertext", kept.rows[V, "good"]
    for name in ("bad", "moved"):
        reply = looked.reply(SecretQuery(V, name))
        assert isinstance(reply, SecretRefused) and "does not decrypt" in reply.why
    assert looked.reply(SecretQuery(V, "good")) == SecretFound("fine", "metastore")
    store(looked, kept, V, "bad", "stored again")
    assert looked.reply(SecretQuery(V, "bad")) == SecretFound("stored again", "metastore")


def test_another_key_does_not_mix_with_what_is_stored(tmp_path: Path) -> None:
    kept = Kept()
    store(lookup(kept, tmp_path), kept, V, "a", "x")
    other = lookup(kept, tmp_path, {"TAILRACE_SECRET_KEY": new_key()})
    refused = other.encrypted(V, "b", "y")
    assert isinstance(refused, SecretRefused) and "add the key" in refused.why
    without = lookup(kept, tmp_path, {"TAILRACE_SECRET_KEY": ""})
    reply = without.reply(SecretQuery(V, "a"))
    assert isinstance(reply, SecretRefused) and "there is no key here" in reply.why
    assert isinstance(without.encrypted(V, "b", "y"), SecretRefused)
    assert not (tmp_path / "secret.key").exists(), "no key was made that would not fit"
    store(other, kept, V, "a", "the only one is stored again")
    both = lookup(kept, tmp_path, {"TAILRACE_SECRET_KEY": f"{KEY},{new_key()}"})
    assert isinstance(both.reply(SecretQuery(V, "a")), SecretRefused)


def test_what_is_too_long_or_no_text_is_refused(tmp_path: Path) -> None:
    looked = lookup(Kept(), tmp_path)
    for text, why in (("x" * (LONGEST_VALUE + 1), "is the limit"), ("\ud800", "half a character")):
        refused = looked.encrypted(V, "a", text)
        assert isinstance(refused, SecretRefused) and why in refused.why


def test_a_task_sets_and_deletes_and_learns_what_goes_before(tmp_path: Path) -> None:
    kept, done = Kept(), list[tuple[str, str | None]]()
    looked = lookup(kept, tmp_path, {"AIRFLOW_VAR_B": "x"})

    def write(change: VariableChange, text: str | None) -> None:
        done.append((change.name, text))

    assert looked.reply_to(VariableChange("a", "1"), write) == SecretFound(None, "")
    assert looked.reply_to(VariableChange("b", None), write) == SecretFound(None, "environment AIRFLOW_VAR_B")
    assert isinstance(looked.reply_to(VariableChange("a", "x" * (LONGEST_VALUE + 1)), write), SecretRefused)
    assert [name for name, _ in done] == ["a", "b"] and done[0][1] is not None and done[1][1] is None


def test_who_prepares_a_lookup_loads_what_finds_packages_only_when_it_is_needed() -> None:
    """Every job prepares one before it forks its zygote, whose tries have all that is loaded by then."""
    heavy = "{'importlib.metadata', 'cryptography', 'sqlalchemy'}"
    code = f"import sys, tailrace.runtime.secrets; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
