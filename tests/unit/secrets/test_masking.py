"""No secret is left in a masked text, whatever it is and however it came; and nothing else is changed."""

import base64
import json
import random
import shlex
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tailrace.secrets.masked_values import SHORTEST_SECRET, secrets_of
from tailrace.secrets.masking import MaskedStream, Masker, mask_bytes
from tailrace.secrets.names import SecretKind, is_sensitive

SECRETS = st.text(min_size=SHORTEST_SECRET).filter(lambda text: len(text.strip()) >= SHORTEST_SECRET)


@given(st.lists(SECRETS, min_size=1, max_size=4), st.lists(st.text()), st.randoms(use_true_random=False))
def test_a_stream_in_pieces_is_masked_as_the_whole(
    secrets: list[str], between: list[str], chance: random.Random
) -> None:
    text = "".join(part for each in between for part in (each, chance.choice(secrets)))
    raw, patterns = text.encode("utf-8", "surrogatepass"), Masker(secrets).patterns
    stream, written, at = MaskedStream(patterns), b"", 0
    while at < len(raw):
        size = chance.randint(1, 6)
        written += stream.feed(raw[at : at + size])
        at += size
    assert written + stream.end() == mask_bytes(raw, patterns)


@given(
    st.lists(st.text("ab", min_size=1, max_size=5), min_size=1, max_size=3),
    st.lists(st.text("ab\n", max_size=4), max_size=12),
)
def test_secrets_that_overlap_are_masked_in_pieces_as_in_the_whole(secrets: list[str], pieces: list[str]) -> None:
    patterns = tuple(secret.encode() for secret in secrets)
    stream = MaskedStream(patterns)
    written = b"".join(stream.feed(piece.encode()) for piece in pieces)
    assert written + stream.end() == mask_bytes("".join(pieces).encode(), patterns)


@given(SECRETS, st.text())
@example("hunter2\nhunter2", "")
def test_it_is_found_in_all_its_forms(secret: str, around: str) -> None:
    forms = [secret, secret.replace("\n", "\r\n"), repr(secret), json.dumps(secret), shlex.quote(secret)]
    try:
        forms += [quote(secret), quote(secret, safe=""), quote_plus(secret)]
    except UnicodeEncodeError:  # half a character
        pass
    masker = Masker([secret])
    for form in forms:
        masked = masker.mask(f"{around}{form}{around}")
        assert "***" in masked
        assume("*" not in secret)
        assert secret.replace("\n", "").replace("\r", "") not in masked.replace("\n", "").replace("\r", "")


@given(st.text(), SECRETS)
def test_a_text_without_it_stays_as_it_is(text: str, secret: str) -> None:
    masker = Masker([secret])
    plain = text.encode("utf-8", "surrogatepass").translate(None, b"\r\n")
    assume(not any(pattern in plain for pattern in masker.patterns))
    assert masker.mask(text) == text


def test_it_is_found_over_ends_of_lines_which_stay() -> None:
    masker = Masker(["hunter2hunter2"])
    assert masker.mask("a hunter2\nhunter2 b\r\nhunter2\r\nhunter2\n") == "a ***\n b\r\n***\r\n\n"


def test_each_line_of_a_long_one_is_found_by_itself() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END PRIVATE KEY-----\n"
    masker = Masker([key])
    assert masker.mask("  MIIEvQIBADANBg\n") == "  ***\n"
    assert masker.mask("-----BEGIN PRIVATE KEY-----") == "-----BEGIN PRIVATE KEY-----", "that is no secret"
    assert "kqhkiG" not in masker.mask(key)


def test_what_is_held_back_is_little() -> None:
    stream = MaskedStream(Masker(["aaaa"]).patterns)
    written = b"".join(stream.feed(b"a" * 1000) for _ in range(1000))
    assert len(written + stream.end()) < 1000
    stream = MaskedStream(Masker(["hunter2"]).patterns)
    assert stream.feed(b"the hunt") == b"the "
    assert stream.feed(b"ing") == b"hunting"


@pytest.mark.parametrize(
    "name", ["password", "DB_PASSWORD", "api_key", "apiKey", "API-KEY", "access_token", "client.secret", "private_key"]
)
def test_names_of_secrets(name: str) -> None:
    assert is_sensitive(name)


@pytest.mark.parametrize("name", ["stage", "bucket", "key", "keyboard", "pass", "author", ""])
def test_names_of_what_is_none(name: str) -> None:
    assert not is_sensitive(name)


V, C = SecretKind.VARIABLE, SecretKind.CONNECTION


@pytest.mark.parametrize(
    "kind, name, text, secrets",
    [
        (V, "stage", "production", set()),
        (V, "api_token", "MARKMARK", {"MARKMARK"}),
        (V, "api_token", "abc", set()),
        (V, "use_password", "true", set()),
        (V, "api_token", '{"a": ["MARK1"], "b": 12345}', {'{"a": ["MARK1"], "b": 12345}', "MARK1", "12345"}),
        (V, "config", '{"url": "x", "db": {"password": "MARK1"}, "l": [{"token": ["MARK2"]}]}', {"MARK1", "MARK2"}),
        (V, "url", "postgres://me:MARK1@host/db", {"MARK1"}),
        (C, "c", "x://me:MA%40RK@host", {"MA@RK", base64.b64encode(b"me:MA@RK").decode()}),
        (C, "c", '{"extra": {"keyfile_dict": {"a": "MARK1"}, "region": "eu-west"}}', {"MARK1"}),
        (C, "c", "MARK is no Connection", {"MARK is no Connection"}),
    ],
)
def test_what_is_a_secret_in_a_value(kind: SecretKind, name: str, text: str, secrets: set[str]) -> None:
    assert secrets_of(kind, name, text) == secrets
