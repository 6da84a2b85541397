"""A name that is not there is met with the nearest, or with what there is."""

import pytest

from tailrace.model.suggestions import near_or_there


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("laod", ["load", "report"], "; did you mean load?"),
        ("zzz", ["load", "report", "load"], "; it has load and report"),
        ("zzz", [f"t{n}" for n in range(10)], "; it has t0, t1, t2, t3, t4, t5, t6, t7 and 2 more"),
        ("zzz", [], ""),
    ],
)
def test_the_nearest_or_what_there_is(name: str, known: list[str], said: str) -> None:
    assert near_or_there(name, known) == said
