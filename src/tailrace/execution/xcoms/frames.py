"""Frames of pandas, polars and pyarrow as XComs: a Parquet file, and a reference to it in the XCom.

Only the library whose frame it is, is loaded, and only for a frame. A file is written once, under a name that no other
claim of a try has, and never changed.
"""

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from tailrace.errors import XComUnreadable
from tailrace.execution.logs.files import part_of_path
from tailrace.execution.xcoms.limits import frames_folder
from tailrace.model.json_values import NotStorable
from tailrace.model.keys import TryKey
from tailrace.model.plain_text import on_one_line
from tailrace.model.tagged_values import TAG
from tailrace.permissions import create_file, make_folder

#: The frames there are, by the library and the name of their class.
_FRAMES = frozenset({("pandas", "DataFrame"), ("polars", "DataFrame"), ("pyarrow", "Table")})
#: What else these libraries have, and what to write instead.
_INSTEAD = {
    ("pandas", "Series"): ".to_frame()",
    ("polars", "Series"): ".to_frame()",
    ("polars", "LazyFrame"): ".collect()",
    ("pyarrow", "RecordBatch"): "pyarrow.Table.from_batches([…])",
}
_MOST_COLUMNS = 50


def library_of(kind: type) -> str:
    """The library whose frame an object of this class is; "" for any other. Raises NotStorable for what is near one."""
    named = kind.__module__.partition(".")[0], kind.__name__
    if named in _INSTEAD:
        raise NotStorable(f"{named[0]}'s {named[1]} is no frame: write {_INSTEAD[named]}")
    return named[0] if named in _FRAMES else ""


class Frames:
    """Writes the frames that a try pushes."""

    def __init__(self, key: TryKey, token: int) -> None:
        ti = key.task_instance
        self._folder = f"{part_of_path(ti.dag_id)}/{part_of_path(ti.run_id)}"
        self._name = part_of_path(f"{ti.place}.{key.try_number}.{token}")

    def node(self, frame: Any, library: str) -> dict[str, Any]:
        """Write a frame; the tag that stands for it. Raises NotStorable."""
        place = f"{self._folder}/{self._name}.{os.urandom(8).hex()}.parquet"
        try:
            with _written(place) as file:
                _WRITE[library](frame, file)
                size = file.tell()
        except ImportError as missing:
            raise NotStorable(f"a frame of {library} is kept as Parquet, which needs a library: {missing}") from None
        except Exception as wrong:
            why = on_one_line(str(wrong).partition("\n")[0])
            raise NotStorable(
                f"a frame of {library} cannot be kept as Parquet: {type(wrong).__name__}: {why}"
            ) from None
        columns = [str(each) for each in (frame.column_names if library == "pyarrow" else frame.columns)]
        more = {} if len(columns) <= _MOST_COLUMNS else {"more_columns": len(columns) - _MOST_COLUMNS}
        rows = frame.num_rows if library == "pyarrow" else len(frame)
        return {
            TAG: "frame",
            "library": library,
            "file": _in_folder(place),
            "rows": rows,
            "columns": columns[:_MOST_COLUMNS],
            **more,
            "bytes": size,
        }


def read(node: Mapping[str, Any]) -> Any:
    """The frame that a tag stands for. Raises XComUnreadable."""
    library, file = node["library"], node["file"]
    try:
        with _opened(file) as opened:
            return _READ[library](opened)
    except ImportError as missing:
        raise XComUnreadable(f"a frame of {library} in {file} needs a library that is not there: {missing}") from None
    except Exception as wrong:
        why = on_one_line(str(wrong).partition("\n")[0])
        raise XComUnreadable(f"a frame of {library} in {file} cannot be read: {type(wrong).__name__}: {why}") from None


# --- where they are -----------------------------------------------------------------------------------------------


def _in_folder(place: str) -> str:
    """How it is stored where it is: below the home by its place there, so that a home may be moved."""
    folder = frames_folder()
    return f"{folder.rstrip('/')}/{place}" if folder else f"frames/{place}"


def _path(file: str) -> Path:
    return Path(file) if file.startswith("/") else Path(os.environ.get("TAILRACE_HOME", "")) / file


@contextmanager
def _written(place: str) -> Iterator[IO[bytes]]:
    """A file to write to; it is not there if that fails."""
    file = _in_folder(place)
    if "://" in file:
        with importlib.import_module("fsspec").open(file, "wb") as opened:
            yield opened
        return
    path = _path(file)
    make_folder(path.parent)
    try:
        with open(create_file(path, os.O_WRONLY), "wb") as opened:
            yield opened
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise


@contextmanager
def _opened(file: str) -> Iterator[IO[bytes]]:
    if "://" in file:
        with importlib.import_module("fsspec").open(file, "rb") as opened:
            yield opened
        return
    with open(_path(file), "rb") as opened:
        yield opened


# --- what each library does ---------------------------------------------------------------------------------------


def _write_pandas(frame: Any, file: IO[bytes]) -> None:
    importlib.import_module("pyarrow")
    frame.to_parquet(file, engine="pyarrow")


def _read_pandas(file: IO[bytes]) -> Any:
    importlib.import_module("pyarrow")
    return importlib.import_module("pandas").read_parquet(file, engine="pyarrow")


_WRITE: Mapping[str, Callable[[Any, IO[bytes]], object]] = {
    "pandas": _write_pandas,
    "polars": lambda frame, file: frame.write_parquet(file),
    "pyarrow": lambda frame, file: importlib.import_module("pyarrow.parquet").write_table(frame, file),
}
_READ: Mapping[str, Callable[[IO[bytes]], Any]] = {
    "pandas": _read_pandas,
    "polars": lambda file: importlib.import_module("polars").read_parquet(file),
    "pyarrow": lambda file: importlib.import_module("pyarrow.parquet").read_table(file),
}
