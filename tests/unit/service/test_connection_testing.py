"""A Connection is tried where its parts say, whatever is in them."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tailrace.secrets.connection import Connection
from tailrace.service import connection_testing


@pytest.mark.parametrize("name", ["plain.db", "a?mode=memory", "50%25", "a#b", "a b"])
def test_a_sqlite_file_is_opened_by_its_name(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    with closing(sqlite3.connect(file)) as made:
        made.execute("CREATE TABLE t (x)")
    text = Connection("x", "sqlite", host=str(file)).as_json()
    assert f"{file} is a SQLite database" in connection_testing.test_connection("x", text)
    assert [each.name for each in tmp_path.iterdir()] == [name]
