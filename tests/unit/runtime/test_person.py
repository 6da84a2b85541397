"""Whoever types a command has a name that can be stored and shown, whatever the system says of users and hosts."""

import os
import pwd
import socket

from hypothesis import given
from hypothesis import strategies as st

from tailrace.model.plain_text import is_storable, on_one_line, visible_line
from tailrace.runtime.person import LONGEST_PERSON, current_person

#: Whatever Python may make of bytes: whole Unicode, halves of characters, controls, and much of it.
ANY = st.text(st.characters(), max_size=600)


def named(name: str, host: str = "host", **environ: str) -> str:
    return current_person(environ, uid=lambda: 1000, user_name=lambda uid: name, host_name=lambda: host)


def missing(uid: int) -> str:
    raise KeyError(f"getpwuid(): uid not found: {uid}")


def broken(uid: int) -> str:
    raise OSError("the directory server does not respond")


def test_it_is_the_user_of_the_process_on_this_host() -> None:
    person = current_person({})
    assert person == f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"


def test_names_in_the_environment_are_no_proof_but_sudo_says_who_it_was() -> None:
    assert named("root", USER="eve", LOGNAME="eve", USERNAME="eve") == "root@host"
    assert named("root", SUDO_USER="ana") == "ana@host"
    assert named("root", SUDO_USER="") == "root@host"


def test_a_user_without_an_entry_is_a_number() -> None:
    for user_name in (missing, broken, lambda uid: ""):
        assert current_person({}, uid=lambda: 1000, user_name=user_name, host_name=lambda: "host") == "uid 1000@host"


def test_a_host_without_a_name_is_said() -> None:
    def fails() -> str:
        raise OSError("no name")

    assert current_person({}, uid=lambda: 1, user_name=lambda uid: "ana", host_name=fails) == "ana@unknown host"
    assert named("ana", "") == "ana@unknown host"


def test_odd_names_are_escaped_and_long_ones_cut() -> None:
    assert named("an\udce1", "h\x1b[2J") == "an\\udce1@h\\x1b[2J"
    assert named("a\0b\nc\u202e", "h") == "a\\x00b\\nc\\u202e@h"
    long = named("a" * 5000, "h")
    assert len(long) <= LONGEST_PERSON and long.endswith("more characters)")


@given(ANY, ANY, ANY | st.none())
def test_any_name_can_be_stored_and_shown_on_one_line(user: str, host: str, sudo: str | None) -> None:
    environ = {} if sudo is None else {"SUDO_USER": sudo}
    person = current_person(environ, uid=lambda: 7, user_name=lambda uid: user, host_name=lambda: host)
    assert is_storable(person)
    assert 0 < len(person) <= LONGEST_PERSON
    assert person == on_one_line(person) == visible_line(person, LONGEST_PERSON)
