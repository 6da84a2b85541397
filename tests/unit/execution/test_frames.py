"""Frames of the libraries that have some pass between tasks as Parquet files; where no library is, it is said."""

import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from tailrace.errors import XComUnreadable
from tailrace.execution.xcoms.frames import Frames, library_of
from tailrace.execution.xcoms.jsonable import NotJson
from tailrace.execution.xcoms.limits import FRAMES, MAX_BYTES
from tailrace.execution.xcoms.reading import value_of
from tailrace.execution.xcoms.values import stored_xcom
from tailrace.model.keys import TaskInstanceKey, TryKey
from tailrace.model.tagged_values import Tagged, readable

KEY = TryKey(TaskInstanceKey("d", "backfill__2024-01-01T00:00:00+00:00", "a", 3), 2)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TAILRACE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv(FRAMES, raising=False)
    return tmp_path / "home"


def kept(value: Any) -> Tagged:
    found = stored_xcom(value, "the XCom 'k' of a", frames=Frames(KEY, 5))
    assert isinstance(found, Tagged)
    return found


def made(library: str) -> Any:
    found = pytest.importorskip(library)
    pytest.importorskip("pyarrow")
    columns = {"n": [1, 2, 3], "name": ["a", None, "ü"]}
    if library == "pyarrow":
        return found.table(columns)
    return found.DataFrame(columns)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_a_frame_is_a_file_and_a_reference(library: str, home: Path) -> None:
    frame = made(library)
    found = kept({"frames": [frame, (frame,)]})
    [one, other] = sorted(home.rglob("*.parquet"))
    assert one.parent == home / "frames" / "d" / "backfill__2024-01-01T00:00:00+00:00"
    assert one.name.startswith("a[3].2.5.") and one != other
    assert one.stat().st_mode & 0o777 == 0o600
    back = value_of(found, "it")["frames"]
    assert type(back[0]) is type(frame) and back[0].equals(frame) and back[1][0].equals(frame)
    shown = readable(found)["frames"][0]
    assert (shown["library"], shown["rows"], shown["columns"]) == (library, 3, ["n", "name"])
    assert not Path(shown["file"]).is_absolute()


def test_a_home_that_was_moved_has_its_frames(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = made("pyarrow")
    found = kept(frame)
    home.rename(home.with_name("moved"))
    with pytest.raises(
        XComUnreadable, match=r"^it: a frame of pyarrow in frames/d/.* cannot be read: FileNotFoundError"
    ):
        value_of(found, "it")
    monkeypatch.setenv("TAILRACE_HOME", str(home.with_name("moved")))
    assert value_of(found, "it").equals(frame)


def test_they_may_be_kept_elsewhere(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = made("pyarrow")
    monkeypatch.setenv(FRAMES, str(tmp_path / "elsewhere"))
    found = kept(frame)
    assert not home.exists() and len([*(tmp_path / "elsewhere").rglob("*.parquet")]) == 1
    monkeypatch.delenv(FRAMES)
    assert value_of(found, "it").equals(frame)  # it stays where it is


def test_they_may_be_kept_at_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fsspec")
    frame = made("pyarrow")
    monkeypatch.setenv(FRAMES, "memory://frames/")
    found = kept(frame)
    assert found.json["file"].startswith("memory://frames/d/") and value_of(found, "it").equals(frame)


def stand_in(library: str, name: str, **more: Any) -> Any:
    return type(name, (), {"__module__": f"{library}.core.frame", **more})()


def test_a_frame_that_cannot_be_written_leaves_no_file(home: Path) -> None:
    def fail(self: Any, file: Any) -> None:
        file.write(b"half")
        raise ValueError("no such\ncolumn")

    frame = stand_in("polars", "DataFrame", write_parquet=fail)
    with pytest.raises(NotJson) as refused:
        kept([frame])
    assert "at [0]: a frame of polars cannot be kept as Parquet: ValueError: no such (" not in str(refused.value)
    assert "at [0]: a frame of polars cannot be kept as Parquet: ValueError: no such; return" in str(refused.value)
    assert [*home.rglob("*.parquet")] == []


def test_without_the_library_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(NotJson, match="a frame of pandas is kept as Parquet, which needs a library: .*pyarrow"):
        kept(stand_in("pandas", "DataFrame"))


@pytest.mark.parametrize(
    ("library", "name", "instead"),
    [("pandas", "Series", ".to_frame()"), ("polars", "LazyFrame", ".collect()")],
)
def test_what_is_near_a_frame_says_what_to_write(library: str, name: str, instead: str) -> None:
    with pytest.raises(NotJson, match=f"{library}'s {name} is no frame: write "):
        kept([stand_in(library, name)])


def test_outside_a_try_there_is_nowhere_to_keep_one() -> None:
    with pytest.raises(NotJson, match="a frame of pandas is kept where a task pushes it"):
        stored_xcom(stand_in("pandas", "DataFrame"), "it")


def test_no_library_is_loaded_for_what_is_none() -> None:
    assert library_of(dict) == "" and library_of(types.SimpleNamespace) == ""


def test_a_value_longer_than_the_setting_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    stored_xcom("x" * 98, "it")
    monkeypatch.setenv(MAX_BYTES, "100")
    stored_xcom("x" * 98, "it")
    with pytest.raises(NotJson, match="it is 101 bytes long as JSON, and max_xcom_bytes is 100"):
        stored_xcom("x" * 99, "it")
    with pytest.raises(NotJson, match="it is 102 bytes long as JSON"):
        stored_xcom("ü" * 50, "it")
    monkeypatch.setenv(MAX_BYTES, "much")
    stored_xcom("x" * 200, "it")
    assert os.environ[MAX_BYTES] == "much"
