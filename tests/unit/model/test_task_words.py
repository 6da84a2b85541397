"""What a word on the command line means of the tasks: itself, those of a group, those that a pattern fits."""

import fnmatch

from hypothesis import given
from hypothesis import strategies as st

from tailrace.model.suggestions import nearest
from tailrace.model.task_words import tasks_meant

KNOWN = ("a", "g.a", "g.b", "g.h.c", "old[0]", "odd*")
GROUPS = {"g": {"g.a", "g.b", "g.h.c", "a"}, "g.h": {"g.h.c"}, "empty": set[str]()}


def meant(word: str) -> tuple[str, ...]:
    return tasks_meant(word, KNOWN, GROUPS)


def test_each_kind_of_word() -> None:
    assert meant("g.a") == ("g.a",)
    assert meant("g") == ("a", "g.a", "g.b", "g.h.c")
    assert meant("g.h") == ("g.h.c",)
    assert meant("g.*") == ("g.a", "g.b", "g.h.c")
    assert meant("?") == ("a",)
    assert meant("*") == KNOWN
    assert meant("odd*") == ("odd*",), "an id of old is itself"
    assert meant("old[0]") == ("old[0]",)
    for nothing in ("b", "G", "empty", "g.?.d", "g[.]a", "[a]", "g.[ab]*", "", "."):
        assert meant(nothing) == ()


@given(st.text("ab.*?", max_size=6), st.sets(st.text("ab.", min_size=1, max_size=5)))
def test_a_pattern_fits_as_in_a_shell(word: str, known: set[str]) -> None:
    ordered = sorted(known)
    if word not in known and ("*" in word or "?" in word):
        assert tasks_meant(word, ordered, {}) == tuple(each for each in ordered if fnmatch.fnmatchcase(each, word))


def test_a_task_without_its_group_is_near() -> None:
    assert nearest("north", ["extract.north", "extract.nor", "worth"])[0] == "extract.north"
