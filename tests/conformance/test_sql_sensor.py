"""SqlSensor beside a real PostgreSQL: what it looks at, and that nothing it writes is kept."""

from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from tailrace import DAG, SqlSensor
from tailrace.authoring.sensors import sql_sensor
from tailrace.secrets.connection import Connection
from tests.postgres_server import PostgresServer


@pytest.fixture
def poke(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    url = make_url(postgres_server.new_database())
    host = url.query.get("host") or url.host
    connection = Connection(
        "shop", conn_type="postgres", host=str(host), port=url.port, login=url.username, password=url.password,
        schema=url.database, extra={"application_name": "sensor", "own": 1},
    )  # fmt: skip
    monkeypatch.setattr(sql_sensor.Connection, "get", lambda conn_id: connection)
    with psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False)) as opened:
        opened.execute("CREATE TABLE orders AS SELECT 3 AS count, '2024-01-01' AS day")

    def look(sql: str, **more: Any) -> Any:
        with DAG("d"):
            return SqlSensor(task_id="s", conn_id="shop", sql=sql, **more).poke({})

    return look


def test_a_query_of_postgresql(poke: Any) -> None:
    assert poke("SELECT count FROM orders WHERE day = %s", parameters=["2024-01-01"]) is True
    assert poke("SELECT count FROM orders WHERE day = %(day)s", parameters={"day": "2024-01-02"}) is False
    assert poke("SELECT count % 2 FROM orders") is True  # without parameters a percent sign is one
    assert poke("SELECT current_setting('application_name') = 'sensor'") is True
    assert poke("DELETE FROM orders RETURNING count") is True
    assert poke("SELECT count(*) FROM orders") is True
    with pytest.raises(psycopg.Error):
        poke("SELECT nonsense FROM orders")
