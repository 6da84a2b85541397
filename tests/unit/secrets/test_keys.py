"""The keys of stored secrets: made when needed, private, several at once; and what is refused of them, in one line."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import EnvironmentBroken
from tailrace.secrets.cipher import Cipher
from tailrace.secrets.keys import KeyStore, new_key
from tailrace.secrets.names import SecretKind

V, C = SecretKind.VARIABLE, SecretKind.CONNECTION
KEY, OTHER = new_key(), new_key()


@given(st.sampled_from(SecretKind), st.text(), st.text())
def test_what_is_encrypted_is_decrypted_by_the_same_name_alone(kind: SecretKind, name: str, text: str) -> None:
    stored = Cipher([KEY]).encrypt(kind, name, text)
    assert Cipher([OTHER, KEY]).decrypt(kind, name, stored) == text
    for other in (C if kind is V else V, name), (kind, f"{name}!"):
        assert Cipher([KEY]).decrypt(*other, stored) is None  # type: ignore[arg-type]
    assert Cipher([OTHER]).decrypt(kind, name, stored) is None


@given(st.text())
def test_whatever_is_stored_is_decrypted_or_not(stored: str) -> None:
    assert Cipher([KEY]).decrypt(V, "x", stored) is None


def keys(tmp_path: Path, environ: Mapping[str, str] | None = None) -> KeyStore:
    return KeyStore(tmp_path / "secret.key", environ or {})


def test_a_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    store = keys(tmp_path)
    assert store.read().keys == ()
    made = store.read_or_make()
    assert len(made.keys) == 1 and store.read_or_make() == made == store.read()
    assert store.file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]
    more = store.add_first()
    assert more.keys[1:] == made.keys and store.read() == more
    assert store.file.stat().st_mode & 0o777 == 0o600


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    keys(tmp_path).read_or_make()
    store = keys(tmp_path, {"TAILRACE_SECRET_KEY": f"{KEY}, {OTHER}"})
    assert store.read().keys == store.read_or_make().keys == store.add_first().keys == (KEY, OTHER)


@pytest.mark.parametrize("text", ["MARK", f"{KEY},MARK", KEY[:-4], KEY + "A", "é" * 44, KEY.replace("=", "")])
def test_a_key_that_is_none_is_refused_without_repeating_it(tmp_path: Path, text: str) -> None:
    for store in (keys(tmp_path, {"TAILRACE_SECRET_KEY": text}), keys(tmp_path)):
        store.file.write_text(text.replace(",", "\n"))
        store.file.chmod(0o600)
        with pytest.raises(EnvironmentBroken, match="32 bytes in URL-safe base64") as refused:
            store.read()
        assert "MARK" not in str(refused.value) and KEY[:20] not in str(refused.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o666, 0o660])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    store = keys(tmp_path)
    store.read_or_make()
    store.file.chmod(mode)
    with pytest.raises(EnvironmentBroken, match=f"mode {mode:04o}.*chmod 600"):
        store.read()
    if mode == 0o660:  # in a folder that is its group's too, so is the key
        os.chmod(tmp_path, 0o2770)
        assert len(store.read().keys) == 1
        store.file.chmod(0o664)
        with pytest.raises(EnvironmentBroken, match="can be read by others"):
            store.read()


def test_what_is_no_file_of_keys_is_refused(tmp_path: Path) -> None:
    store = keys(tmp_path)
    store.file.mkdir()
    with pytest.raises(EnvironmentBroken, match="is no file"):
        store.read()
    store.file.rmdir()
    os.mkfifo(store.file, 0o600)
    with pytest.raises(EnvironmentBroken, match="is no file"):
        store.read()
    store.file.unlink()
    store.file.touch(0o600)
    with pytest.raises(EnvironmentBroken, match="holds no key"):
        store.read_or_make()
    with pytest.raises(EnvironmentBroken, match="cannot be made"):
        KeyStore(tmp_path / "nowhere" / "secret.key", {}).read_or_make()
