"""``tailrace web`` as a person starts it: an address with a token, the API behind it, and an end at Ctrl-C."""

import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.acceptance.conftest import Run, clean_environment

DAG = """
from tailrace import DAG, task

with DAG("greets", schedule="@daily", start_date="2024-01-01"):
    @task
    def hello():
        print("hello from the task")
        return "hello"

    hello()
"""


@contextmanager
def running(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A server in this folder, on a port that is free."""
    command = [sys.executable, "-m", "tailrace", "web", "--port", "0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=folder, env=clean_environment(), text=True, **pipes) as server:
        try:
            yield server
        finally:
            server.kill()


def test_the_api_of_a_real_server(tailrace: Run, tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "greets.py").write_text(DAG)
    assert tailrace("backfill", "greets", "-s", "2024-01-01", "-e", "2024-01-02").returncode == 0
    with running(tmp_path) as server:
        assert server.stdout is not None and server.stderr is not None
        address = urlsplit(server.stdout.readline().strip())
        assert (address.scheme, address.hostname, address.path) == ("http", "127.0.0.1", "/")
        connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=60)

        def get(path: str, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
            connection.request("GET", path, headers=headers)
            reply = connection.getresponse()
            return reply.status, reply.headers, reply.read()

        assert get("/api/v1/runs")[0] == 401
        status, headers, _ = get(f"/?{address.query}")
        assert (status, headers["location"]) == (303, "/")
        mine = {"Cookie": headers["set-cookie"].partition(";")[0]}
        assert get("/", **mine)[0] == 200
        assert json.loads(get("/api/v1/runs", **mine)[2]) == json.loads(tailrace("runs", "list", "-o", "json").stdout)
        [dag] = json.loads(tailrace("dags", "list", "-o", "json").stdout)
        [sent] = json.loads(get("/api/v1/dags", **mine)[2])
        assert sent == {**dag, "missing": None}
        assert json.loads(get("/api/v1/dags/greets", **mine)[2]) == json.loads(
            tailrace("dags", "show", "greets", "-o", "json").stdout
        )
        log = get("/api/v1/dags/greets/runs/2024-01-02/tasks/hello/log", **mine)[2]
        assert log.decode() == tailrace("tasks", "logs", "greets", "hello", "2024-01-02").stdout
        assert server.stdout.readline().startswith("http://127.0.0.1:"), "the next browser's address"
        taken = tailrace("web", "--port", str(address.port))
        assert (taken.returncode, taken.stdout) == (4, "")
        assert f"port {address.port} of 127.0.0.1 is in use" in taken.stderr
        listening = http.client.HTTPConnection("127.0.0.1", address.port, timeout=60)
        listening.request("GET", "/api/v1/events", headers=mine)
        assert listening.getresponse().readline().startswith(b"retry:")
        began = time.monotonic()
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 130
        assert time.monotonic() - began < 30, "and half a second where nothing else is done"
        assert "Traceback" not in server.stderr.read()
        connection.close()
        listening.close()


def test_what_stands_in_its_way_is_one_line(tailrace: Run, tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        refused = tailrace("web", "--host", host)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr.count("error: ") == 1 and f"others reach {host}" in refused.stderr.replace("\n", " ")
    without = "import sys; sys.modules['uvicorn'] = None; from tailrace.cli.main import main; main(['web'])"
    done = subprocess.run(
        [sys.executable, "-c", without], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True
    )
    assert done.returncode == 4
    assert "pip install 'tailrace[web]'" in done.stderr and done.stderr.count("error: ") == 1
    described = tailrace("web", "--openapi")
    assert json.loads(described.stdout)["openapi"] == "3.1.0"
