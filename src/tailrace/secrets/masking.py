"""Replaces secrets by ``***``, in texts and in a stream of bytes, however it is cut into pieces. Pure.

A secret is looked for as it is, and as it stands in URLs, JSON, Python's ``repr`` and a shell's command line. Ends of
lines are looked past: one that is broken over lines is found as well, and of one that has several lines each line.
"""

import json
import shlex
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"
_MASK = MASK.encode()
_ENDS = b"\r\n"

#: Lines of a secret that has several are looked for by themselves from this length on, in characters.
_SHORTEST_LINE = 8
#: So much may be held back at most, in bytes: what looks like one endless secret is none.
_MOST_HELD = 1 << 18


def forms_of(secret: str) -> set[bytes]:
    """How a secret may stand in a text, without ends of lines."""
    texts = {secret, secret.strip()}
    if len(lines := secret.splitlines()) > 1:
        texts |= {line.strip() for line in lines if len(line.strip()) >= _SHORTEST_LINE and line.strip("-") == line}
    forms = set[str]()
    for text in texts:
        forms |= {text, repr(text)[1:-1], json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
        forms |= {shlex.quote(text).strip("'"), text.replace("'", "'\\''"), text.replace("\\", "\\\\")}
        for quoted in (_in_url(text, ""), _in_url(text, "/"), quote_plus(text, errors="surrogatepass")):
            forms |= {quoted, _with_lower_case_escapes(quoted)}
    encoded = {form.encode("utf-8", "surrogatepass") for form in forms}
    encoded |= {form.encode("utf-8", "backslashreplace") for form in forms}
    return {plain for form in encoded if (plain := form.translate(None, _ENDS))}


def _in_url(text: str, safe: str) -> str:
    return quote(text, safe=safe, errors="surrogatepass")


def _with_lower_case_escapes(quoted: str) -> str:
    first, *others = quoted.split("%")
    return "%".join([first, *(each[:2].lower() + each[2:] for each in others)])


class Masker:
    """Knows secrets, and takes them out of texts."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._forms: set[bytes] = set()
        self.patterns: tuple[bytes, ...] = ()
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Take these out as well from now on."""
        for secret in secrets:
            self._forms |= forms_of(secret)
        self.patterns = tuple(sorted(self._forms, key=len, reverse=True))

    def mask(self, text: str) -> str:
        """The text without them."""
        if not self.patterns:
            return text
        raw = text.encode("utf-8", "surrogatepass")
        masked = mask_bytes(raw, self.patterns)
        return text if masked is raw else masked.decode("utf-8", "surrogatepass")

    def mask_value(self, value: Any) -> Any:
        """A JSON value without them, in its texts and its names."""
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, dict):
            return {self.mask_value(name): self.mask_value(each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.mask_value(each) for each in value]
        return value


class MaskedStream:
    """Takes secrets out of bytes that come in pieces. What may be the beginning of one is held back.

    Of what is held back the first ``_covered`` bytes, ends of lines not counted, belong to a secret whose mask has been
    written: what overlaps them belongs to it too.
    """

    def __init__(self, patterns: Iterable[bytes] = ()) -> None:
        self.patterns = tuple(patterns)
        self._held = b""
        self._covered = 0

    def feed(self, piece: bytes) -> bytes:
        """What can be written by now."""
        raw = self._held + piece
        plain, spans = _found(raw, self.patterns, self._covered)
        cut = min((_beginning(plain, pattern) for pattern in self.patterns), default=len(plain))
        places = None if len(plain) == len(raw) else _places(raw)
        place = len(raw) if cut == len(plain) else cut if places is None else places[cut]
        if len(raw) - place > _MOST_HELD:
            cut, place = len(plain), len(raw)
        begun = [(start, end) for start, end in spans if start < cut]
        written = _masked(raw[:place], places, [(start, min(end, cut)) for start, end in begun], self._covered)
        self._held, self._covered = raw[place:], max([0, self._covered - cut, *(end - cut for _, end in begun)])
        return written

    def end(self) -> bytes:
        """The rest: nothing more belongs to it."""
        plain, spans = _found(self._held, self.patterns, self._covered)
        rest = _masked(self._held, None if len(plain) == len(self._held) else _places(self._held), spans, self._covered)
        self._held, self._covered = b"", 0
        return rest


def mask_bytes(raw: bytes, patterns: Iterable[bytes]) -> bytes:
    """The bytes without what any pattern says; the ends of lines in it stay. The same object where nothing is found."""
    plain, spans = _found(raw, patterns)
    return _masked(raw, None if len(plain) == len(raw) else _places(raw), spans)


def _masked(raw: bytes, places: list[int] | None, spans: list[tuple[int, int]], covered: int = 0) -> bytes:
    """The bytes with a mask for each span but that of what is covered. ``places``: where they are; None: everywhere."""
    if not spans:
        return raw
    masked, done = bytearray(), 0
    for start, end in spans:
        first, last = (start, end - 1) if places is None else (places[start], places[end - 1])
        masked += raw[done:first] + (b"" if covered and not start else _MASK)
        masked += bytes(byte for byte in raw[first:last] if byte in _ENDS)
        done = last + 1
    return bytes(masked + raw[done:])


def _found(raw: bytes, patterns: Iterable[bytes], covered: int = 0) -> tuple[bytes, list[tuple[int, int]]]:
    """The bytes without ends of lines, and where in them patterns or what is covered are, those that overlap joined."""
    plain = raw.translate(None, _ENDS)
    spans: list[tuple[int, int]] = [(0, covered)] if covered else []
    for pattern in patterns:
        at = plain.find(pattern)
        while at >= 0:
            spans.append((at, at + len(pattern)))
            at = plain.find(pattern, at + 1)
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start < joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return plain, joined


def _beginning(plain: bytes, pattern: bytes) -> int:
    """Where the longest end of ``plain`` starts that begins the pattern, and is not all of it; its length if none."""
    at = max(0, len(plain) - len(pattern) + 1)
    while (at := plain.find(pattern[:1], at)) >= 0:
        if pattern.startswith(plain[at:]):
            return at
        at += 1
    return len(plain)


def _places(raw: bytes) -> list[int]:
    """Where in the bytes each one is that ends no line."""
    return [place for place, byte in enumerate(raw) if byte not in _ENDS]
