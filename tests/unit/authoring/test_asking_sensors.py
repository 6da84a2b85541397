"""SqlSensor and HttpSensor: what of a row or a response ends the waiting, and what fails it."""

import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tailrace import DAG, HttpSensor, SqlSensor
from tailrace.authoring.compiling.dag_specs import compile_dag
from tailrace.authoring.sensors import http_sensor, sql_sensor
from tailrace.authoring.sensors.http_sensor import HttpError, HttpResponse
from tailrace.authoring.sensors.sql_sensor import NothingFound
from tailrace.errors import SecretNotFound
from tailrace.exceptions import TaskFailed
from tailrace.secrets.connection import Connection


@pytest.fixture(autouse=True)
def connections(monkeypatch: pytest.MonkeyPatch) -> dict[str, Connection]:
    """The Connections there are."""
    found: dict[str, Connection] = {}

    def get(conn_id: str) -> Connection:
        if conn_id not in found:
            raise SecretNotFound(f"there is no Connection {conn_id!r}; set it", "connection", conn_id)
        return found[conn_id]

    for module in (sql_sensor, http_sensor):
        monkeypatch.setattr(module.Connection, "get", get)
    return found


def sensor(operator: Any, **arguments: Any) -> Any:
    with DAG("d") as dag:
        made = operator(task_id="s", **arguments)
    assert dag.mistakes == []
    return made


# --- SQL ---------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path: Path, connections: dict[str, Connection]) -> Path:
    file = tmp_path / "a shop.db"
    with closing(sqlite3.connect(file)) as opened:
        opened.execute("CREATE TABLE orders (day TEXT, count INTEGER)")
        opened.execute("INSERT INTO orders VALUES ('2024-01-01', 3), ('2024-01-02', 0)")
        opened.commit()
    connections["shop"] = Connection("shop", conn_type="sqlite", host=str(file))
    return file


def of_shop(sql: str, **more: Any) -> Any:
    return sensor(SqlSensor, conn_id="shop", sql=sql, **more).poke({})


COUNT = "SELECT count FROM orders WHERE day = ?"


def test_a_true_cell_is_what_is_waited_for(shop: Path) -> None:
    assert of_shop(COUNT, parameters=["2024-01-01"]) is True
    assert of_shop(COUNT, parameters=["2024-01-02"]) is False
    assert of_shop(COUNT, parameters=["2024-01-03"]) is False
    assert of_shop("SELECT count FROM orders WHERE day = :day", parameters={"day": "2024-01-01"}) is True


def test_functions_decide_about_the_cell(shop: Path) -> None:
    assert of_shop(COUNT, parameters=["2024-01-02"], success=lambda count: count == 0) is True
    assert of_shop("SELECT day, count FROM orders", selector=lambda row: row[1] - 3) is False
    with pytest.raises(TaskFailed, match="failure function"):
        of_shop(COUNT, parameters=["2024-01-01"], failure=lambda count: count > 2)
    with pytest.raises(NothingFound, match="no row"):
        of_shop(COUNT, parameters=["2024-01-03"], fail_on_empty=True)


def test_nothing_that_a_query_writes_is_kept_and_no_file_is_made(
    shop: Path, connections: dict[str, Connection]
) -> None:
    of_shop("DELETE FROM orders")
    assert of_shop("SELECT count(*) FROM orders") is True
    connections["shop"] = Connection("shop", conn_type="sqlite", host=str(shop.with_name("other.db")))
    with pytest.raises(sqlite3.OperationalError):
        of_shop("SELECT 1")
    assert not shop.with_name("other.db").exists()


def test_another_database_is_refused_for_good(connections: dict[str, Connection]) -> None:
    connections["shop"] = Connection("shop", conn_type="mysql", host="db")
    with pytest.raises(TaskFailed, match="is of type 'mysql'; SqlSensor takes sqlite and postgres"):
        of_shop("SELECT 1")
    del connections["shop"]
    with pytest.raises(SecretNotFound):
        of_shop("SELECT 1")


# --- HTTP --------------------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """Says what it was asked; a path of a number is that status."""

    def respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        last = self.path.partition("?")[0].rpartition("/")[2]
        asked = {"method": self.command, "path": self.path, "body": body, "headers": dict(self.headers)}
        said = json.dumps(asked).encode() if last != "latin" else "caf\xe9".encode("latin-1")
        self.send_response(int(last) if last.isdecimal() else 200)
        if last in ("302", "307"):
            self.send_header("Location", self.path.partition("?to=")[2])
        self.send_header("Content-Type", "text/plain; charset=latin-1" if last == "latin" else "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said)

    do_GET = do_POST = do_HEAD = do_DELETE = respond

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def server(connections: dict[str, Connection], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
        host, port = made.server_address[:2]
        connections["api"] = Connection(
            "api", conn_type="http", host=str(host), port=int(port), login="me", password="pw", extra={"X-Own": "1"}
        )
        yield f"http://{host!s}:{port}"
        made.shutdown()


def seen(endpoint: str, **arguments: Any) -> dict[str, Any]:
    """What the server was asked."""
    kept: list[HttpResponse] = []

    def keep(response: HttpResponse) -> bool:
        kept.append(response)
        return True

    assert sensor(HttpSensor, endpoint=endpoint, response_check=keep, **arguments).poke({}) is True
    asked: dict[str, Any] = kept[0].json()
    return asked


def test_an_endpoint_is_a_url_or_stands_behind_the_host(server: str) -> None:
    assert seen(f"{server}/a")["path"] == "/a"
    asked = seen("/v1/ready", http_conn_id="api", request_params={"day": "2024-01-01", "x": [1, 2]})
    assert asked["path"] == "/v1/ready?day=2024-01-01&x=1&x=2"
    assert (asked["headers"]["Authorization"], asked["headers"]["X-Own"]) == ("Basic bWU6cHc=", "1")
    posted = seen("v1?a=1", http_conn_id="api", method="post", request_params={"b": "ä"}, headers={"X-Own": 2})
    assert (posted["method"], posted["path"], posted["body"]) == ("POST", "/v1?a=1", "b=%C3%A4")
    assert posted["headers"]["X-Own"] == "2"
    assert seen(server, method="POST", request_params='{"q": 1}')["body"] == '{"q": 1}'


def test_another_host_that_it_is_led_to_gets_no_login(server: str) -> None:
    port = server.rpartition(":")[2]
    there = seen(f"/302?to=http://localhost:{port}/there", http_conn_id="api", headers={"Accept": "x/y"})
    assert (there["path"], there["headers"]["Accept"]) == ("/there", "x/y")
    assert not {"Authorization", "X-Own"} & there["headers"].keys()
    here = seen("/307?to=/here", http_conn_id="api")
    assert (here["path"], here["headers"]["Authorization"]) == ("/here", "Basic bWU6cHc=")


def test_which_errors_mean_not_yet(server: str) -> None:
    def poke(status: int, **more: Any) -> Any:
        return sensor(HttpSensor, endpoint=f"{server}/{status}", **more).poke({})

    assert (poke(200), poke(204), poke(404)) == (True, True, False)
    with pytest.raises(HttpError, match=r"503 Service Unavailable: .*\"path\": \"/503\""):
        poke(503)
    assert poke(503, response_error_codes_allowlist=["404", 503]) is False
    with pytest.raises(HttpError, match="404"):
        poke(404, response_error_codes_allowlist=[])


def test_a_check_gets_what_it_has_parameters_for(server: str) -> None:
    def check(response: HttpResponse, ds: str) -> bool:
        return response.text == "café" and ds == "2024-01-01" and response.ok and response.status_code == 200

    assert sensor(HttpSensor, endpoint=f"{server}/latin", response_check=check).poke({"ds": "2024-01-01", "ts": ""})
    assert not sensor(HttpSensor, endpoint=server, response_check=lambda response: False).poke({})


def test_what_makes_no_url_fails_for_good(connections: dict[str, Connection]) -> None:
    with pytest.raises(TaskFailed, match=r"endpoint 'v1' is no URL, and there is no Connection 'http_default'"):
        sensor(HttpSensor, endpoint="v1").poke({})
    with pytest.raises(SecretNotFound):
        sensor(HttpSensor, endpoint="v1", http_conn_id="nowhere").poke({})
    for host in ("", "file:///etc/passwd"):
        connections["http_default"] = Connection("http_default", conn_type="http", host=host or None)
        with pytest.raises(TaskFailed, match="make no URL"):
            sensor(HttpSensor, endpoint="v1").poke({})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"method": "FETCH"}, "method must be one of GET, POST"),
        ({"response_error_codes_allowlist": ["ok"]}, "must be statuses from 400 to 599"),
        ({"response_error_codes_allowlist": "404"}, "must be a list, not '404'"),
        ({"extra_options": {"stream": True}}, "takes timeout and verify|takes timeout \\(seconds\\) and verify"),
        ({"response_check": "yes"}, "response_check must be callable"),
        ({"endpoint": ""}, "endpoint must be text"),
    ],
)
def test_wrong_arguments_are_mistakes(wrong: dict[str, Any], said: str) -> None:
    with DAG("d") as dag:
        HttpSensor(task_id="s", **{"endpoint": "e", **wrong})
    compile_dag(dag, "d.py", "hash")
    [mistake] = dag.mistakes
    assert re.search(said, mistake.message), mistake.message
