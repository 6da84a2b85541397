"""A one-time token begins one session; a session ends when nobody uses it, and in the end anyway."""

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from tailrace.web.sessions import IDLE_SECONDS, LONGEST_SECONDS, MOST_SESSIONS, Sessions


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def made() -> tuple[Sessions, Clock]:
    clock, numbers = Clock(), count()
    return Sessions(clock, lambda: f"secret {next(numbers)}"), clock


def test_a_token_is_for_one_browser() -> None:
    sessions, _ = made()
    token = sessions.token
    first = sessions.exchange(token)
    assert sessions.knows(first)
    assert sessions.exchange(token) is None
    assert sessions.token != token
    second = sessions.exchange(sessions.token)
    assert second != first
    assert sessions.knows(first) and sessions.knows(second)


@given(st.text())
def test_nothing_else_begins_or_is_a_session(text: str) -> None:
    sessions, _ = made()
    session = sessions.exchange(sessions.token)
    for wrong in (text, f"{sessions.token} ", sessions.token[:-1], f"{session}x", ""):
        assert sessions.exchange(wrong) is None
        assert not sessions.knows(wrong)
    assert not sessions.knows(sessions.token), "a token is no session"
    assert not sessions.knows(None)


def test_who_signs_in_again_has_a_new_session_only() -> None:
    """A session that somebody else has set (fixation) is none afterwards."""
    sessions, _ = made()
    planted = sessions.exchange(sessions.token)
    mine = sessions.exchange(sessions.token, planted)
    assert mine is not None and mine != planted
    assert not sessions.knows(planted)
    assert sessions.exchange(sessions.token, "never was one") not in (None, "never was one")


def test_sessions_end() -> None:
    sessions, clock = made()
    idle, used = sessions.exchange(sessions.token), sessions.exchange(sessions.token)
    while clock.now + IDLE_SECONDS <= LONGEST_SECONDS:
        clock.now += IDLE_SECONDS
        assert sessions.knows(used)
    assert not sessions.knows(idle)
    clock.now = LONGEST_SECONDS + 1
    assert not sessions.knows(used)


def test_there_are_only_so_many() -> None:
    sessions, clock = made()
    opened = []
    for _ in range(MOST_SESSIONS + 1):
        clock.now += 1
        opened.append(sessions.exchange(sessions.token))
        sessions.knows(opened[0])
    assert [sessions.knows(each) for each in opened[:3]] == [True, False, True]
