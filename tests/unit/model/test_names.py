"""A name that passes can be typed, stored and part of a path; one that does not is refused in a line."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tailrace.execution.logs.files import log_path
from tailrace.model.keys import GREATEST_MAP_INDEX, TaskInstanceKey, TryKey
from tailrace.model.names import (
    LONGEST_KEY,
    LONGEST_NAME,
    id_error,
    key_error,
    label_error,
    run_id_error,
    search_error,
)
from tailrace.model.plain_text import is_storable
from tests.unit.model.anything import texts

HOME = Path("/home/somebody/.tailrace")
odd = st.one_of(texts, st.sampled_from(["", ".", "..", "../../etc", "a/b", "/etc", "\0", "x" * 300, "é" * 130, "a\nb"]))


@given(odd)
@example("x" * LONGEST_NAME)
@example("東" * (LONGEST_NAME // 3))
def test_a_name_that_passes_can_stand_anywhere(text: str) -> None:
    for wrong_with in (id_error, run_id_error, label_error, key_error, search_error):
        wrong = wrong_with(text)
        if wrong is None:
            assert is_storable(text)
        else:
            assert len(wrong) < 400 and len(wrong.splitlines()) == 1 and is_storable(wrong)
    for wrong_with in (id_error, run_id_error):
        if wrong_with(text) is None:
            assert text.isprintable() and Path(text).name == text and text not in (".", "..")
            assert len(f"{text}[{GREATEST_MAP_INDEX}].{GREATEST_MAP_INDEX}.log".encode()) <= 255


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("load", None),
        ("ü-ñ.β", None),
        ("...", None),
        ("x" * LONGEST_NAME, None),
        ("x" * (LONGEST_NAME + 1), "at most 220 bytes long, not 221"),
        ("é" * 111, "at most 220 bytes long, not 222"),
        ("..", "a name, not '..', which is a folder's"),
        ("a b", "a name without spaces or slashes, not 'a b'"),
        ("a\x1b[2Jb", "a name without spaces or slashes, not 'a\\x1b[2Jb'"),
        ("", "a name without spaces or slashes, not ''"),
        (5, "a name without spaces or slashes, not 5"),
    ],
)
def test_ids(text: object, wrong: str | None) -> None:
    assert id_error(text) == wrong


@pytest.mark.parametrize("text", ["manual__first", "manual__2024-01-01T00:00:00+00:00", "manual__my run", "..__"])
def test_run_ids(text: str) -> None:
    assert run_id_error(text) is None


@pytest.mark.parametrize(
    "text", ["a/__b", "..", "__\n", "a__\x1b[31m", " a__b", "a__b ", "a__\udce9", "r__" * 100, None]
)
def test_no_run_ids(text: Any) -> None:
    assert run_id_error(text) is not None


@pytest.mark.parametrize("key", ["", "a b\n", "x" * LONGEST_KEY, "\U0001f600" * LONGEST_KEY])
def test_keys(key: str) -> None:
    assert key_error(key) is None


@pytest.mark.parametrize("key", ["x" * (LONGEST_KEY + 1), "a\0", "\udcff", 1, None, ("a",)])
def test_no_keys(key: Any) -> None:
    assert key_error(key) is not None


@given(odd, odd, odd, st.integers(min_value=-1, max_value=GREATEST_MAP_INDEX))
def test_a_log_is_in_its_folder_whatever_a_row_of_old_holds(dag_id: str, run_id: str, task_id: str, index: int) -> None:
    path = log_path(HOME, TryKey(TaskInstanceKey(dag_id, run_id, task_id, index), 1))
    parts = path.relative_to(HOME / "logs").parts
    assert len(parts) == 3
    for part in parts:
        assert part not in (".", "..") and "\0" not in part and len(part.encode()) <= 255


def test_a_name_that_can_stand_in_a_path_stands_in_it() -> None:
    key = TryKey(TaskInstanceKey("sales", "manual__my run", "load.x", 3), 2)
    assert log_path(HOME, key) == HOME / "logs/sales/manual__my run/load.x[3].2.log"


@given(odd, odd)
def test_two_names_have_two_logs(one: str, other: str) -> None:
    def path(name: str) -> Path:
        return log_path(HOME, TryKey(TaskInstanceKey("d", name, "t"), 1))

    assert (path(one) == path(other)) == (one == other)
