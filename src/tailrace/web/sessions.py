"""Who may read: whoever was given the address with the one-time token, and from then on has the cookie of a session.

In memory: a server that ends has ended them all. What is kept of a session is its digest, so that looking one up tells
nothing by how long it takes. Clock and randomness come in as values.
"""

import hashlib
from collections.abc import Callable

from msgspec import Struct

#: Seconds after which a session that nobody uses has ended, and one that is used all the time.
IDLE_SECONDS = 24 * 3600.0
LONGEST_SECONDS = 7 * 24 * 3600.0

#: So many at a time; one more ends the one that was used longest ago.
MOST_SESSIONS = 100


class _Session(Struct):
    began: float
    used: float


class Sessions:
    """The sessions of one server, and the token that begins the next one. ``draw`` returns a secret text."""

    def __init__(self, clock: Callable[[], float], draw: Callable[[], str]) -> None:
        self._clock = clock
        self._draw = draw
        self._known: dict[bytes, _Session] = {}
        self._token = b""
        self.token = self._offer()

    def exchange(self, token: str, former: str | None = None) -> str | None:
        """A new session for the one-time token, which is another from then on; None for any other text.

        ``former`` is the session of who asks, if they have one: it ends.
        """
        if _digest(token) != self._token:
            return None
        self.token = self._offer()
        if former is not None:
            self._known.pop(_digest(former), None)
        self._end_old()
        if len(self._known) >= MOST_SESSIONS:
            del self._known[min(self._known, key=lambda each: self._known[each].used)]
        session, now = self._draw(), self._clock()
        self._known[_digest(session)] = _Session(now, now)
        return session

    def knows(self, session: str | None) -> bool:
        """Whether it has begun and not ended; it counts as used."""
        if session is None:
            return False
        self._end_old()
        found = self._known.get(_digest(session))
        if found is None:
            return False
        found.used = self._clock()
        return True

    def _offer(self) -> str:
        token = self._draw()
        self._token = _digest(token)
        return token

    def _end_old(self) -> None:
        now = self._clock()
        over = [
            each
            for each, session in self._known.items()
            if now - session.used > IDLE_SECONDS or now - session.began > LONGEST_SECONDS
        ]
        for each in over:
            del self._known[each]


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
