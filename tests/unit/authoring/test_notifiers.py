"""Notifiers against servers of this test's own: what is sent, what is tried again, and what is said of a failure."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tailrace import DAG, EmptyOperator
from tailrace.authoring import notifiers
from tailrace.notifiers import NotSent, ShellCommand, SlackWebhook, SmtpEmail, Webhook


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifiers, "_PAUSES", (0.0, 0.0, 0.0))


def context(**more: Any) -> dict[str, Any]:
    with DAG("d") as dag:
        task = EmptyOperator(task_id="t")
    ti = SimpleNamespace(task_id="t", map_index=-1, try_number=2, max_tries=3, log_url="file:///log")
    day = datetime(2024, 1, 1, tzinfo=UTC)
    about = {"event": "on_failure_callback", "event_id": "e1", "about": "task_instance", "state": "failed"}
    return {**about, "reason": "no: «x»", "dag": dag, "task": task, "ti": ti, "run_id": "r", "ts": "T", **more} | {
        "logical_date": day
    }


class Server:
    """Answers each POST with the next of these codes, the last one again and again."""

    def __init__(self, *codes: int) -> None:
        self.got: list[tuple[str, dict[str, str], Any]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.got.append((self.path, dict(self.headers), json.loads(body)))
                self.send_response(codes[min(len(server.got), len(codes)) - 1])
                self.end_headers()
                self.wfile.write(b"because")

            def log_message(self, *arguments: Any) -> None:
                """Say nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "Server":
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def test_a_webhook_has_what_happened_as_json() -> None:
    with Server(200) as server:
        Webhook(server.url + "/{{ run_id }}", headers={"X-Of": "{{ ti.task_id }}"})(context())
    [(path, headers, body)] = server.got
    assert (path, headers["X-Of"], headers["Idempotency-Key"]) == ("/r", "t", "e1")
    assert body == {
        "event_id": "e1",
        "event": "on_failure_callback",
        "about": "task_instance",
        "dag_id": "d",
        "run_id": "r",
        "logical_date": "2024-01-01T00:00:00+00:00",
        "task_id": "t",
        "map_index": -1,
        "try_number": 2,
        "backfill_id": None,
        "state": "failed",
        "reason": "no: «x»",
        "text": "on_failure: d.t r is failed: no: «x»",
    }


def test_a_body_of_ones_own_is_rendered_however_deep() -> None:
    with Server(200) as server:
        Webhook(server.url, body={"a": ["{{ state }}", {"b": "{{ reason }}"}], "n": 3})(context())
    assert server.got[0][2] == {"a": ["failed", {"b": "no: «x»"}], "n": 3}


def test_slack_gets_a_text_and_what_is_beside_it() -> None:
    with Server(200) as server:
        SlackWebhook(server.url, "{{ dag.dag_id }} {{ state }}", channel="#{{ ti.task_id }}")(context())
        SlackWebhook(server.url)(context(about="backfill", backfill_id=7, reason="1 failed"))
    assert server.got[0][2] == {"text": "d failed", "channel": "#t"}
    assert server.got[1][2] == {"text": "on_failure: d, backfill 7 is failed: 1 failed"}


@pytest.mark.parametrize(("codes", "times"), [((500, 200), 2), ((429, 503, 200), 3)])
def test_what_is_broken_or_busy_is_tried_again(codes: tuple[int, ...], times: int) -> None:
    with Server(*codes) as server:
        Webhook(server.url)(context())
    assert len(server.got) == times
    assert {headers["Idempotency-Key"] for _, headers, _ in server.got} == {"e1"}


@pytest.mark.parametrize(
    ("code", "times", "said"),
    [(503, 3, "HTTP 503 Service Unavailable: because (3 times)"), (404, 1, "HTTP 404 Not Found")],
)
def test_what_is_never_taken_is_said_without_the_secret_in_the_address(code: int, times: int, said: str) -> None:
    with Server(code) as server, pytest.raises(NotSent) as failed:
        Webhook(server.url + "/T000/SECRET")(context())
    assert len(server.got) == times
    assert said in str(failed.value)
    assert "SECRET" not in str(failed.value)


@pytest.mark.parametrize(
    "url", ["ftp://x", "file:///etc/passwd", "x", "{{ reason }}", "http://", "http://[", "http://a b"]
)
def test_an_address_that_is_none_is_said(url: str) -> None:
    with pytest.raises(NotSent):
        Webhook(url)(context())


def test_a_shell_command_finds_the_event_and_says_its_exit_code(tmp_path: Path) -> None:
    file = tmp_path / "told"
    ShellCommand(f'printf "%s|" "$TAILRACE_EVENT" "$TAILRACE_REASON" "{{{{ state }}}}" > {file}')(context())
    assert file.read_text() == "on_failure_callback|no: «x»|failed|"
    with pytest.raises(NotSent, match="the command exited 4"):
        ShellCommand("exit 4")(context())


@contextmanager
def smtp(refuses: bytes = b"") -> Iterator[tuple[int, list[bytes]]]:
    """A server that knows just enough of SMTP for one mail at a time."""
    listening, lines = socket.create_server(("127.0.0.1", 0)), list[bytes]()

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as said:
                connection.sendall(b"220 here\r\n")
                body = False
                for line in said:
                    lines.append(line.rstrip(b"\r\n"))
                    if body:
                        body = line != b".\r\n"
                        if not body:
                            connection.sendall(b"250 taken\r\n")
                        continue
                    word = line[:4].upper()
                    body = word == b"DATA"
                    answer = refuses if refuses and word == b"RCPT" else b"354 go" if body else b"250 yes"
                    connection.sendall((b"221 bye" if word == b"QUIT" else answer) + b"\r\n")
                    if word == b"QUIT":
                        break

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1], lines
    finally:
        listening.shutdown(socket.SHUT_RDWR)  # that alone wakes who waits in accept
        thread.join()
        listening.close()


def test_an_email_goes_by_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    with smtp() as (port, lines):
        monkeypatch.setenv("TAILRACE_CONN_SMTP_DEFAULT", f"smtp://127.0.0.1:{port}/?from_email=us%40x")
        SmtpEmail(["me@x", "{{ ti.task_id }}@x"])(context())
    assert {b"mail FROM:<us@x>", b"rcpt TO:<me@x>", b"rcpt TO:<t@x>"} <= {line.split(b" size")[0] for line in lines}
    text = b"\n".join(lines)
    assert b"\nMessage-ID: <e1@tailrace>\n" in text
    assert b"\nSubject: =?utf-8?" in text or b"\nSubject: [tailrace] on_failure: d.t r is failed" in text


def test_a_password_is_not_sent_in_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    with smtp() as (port, lines):
        monkeypatch.setenv("TAILRACE_CONN_SMTP_DEFAULT", f"smtp://me:pw@127.0.0.1:{port}")
        with pytest.raises(NotSent, match="has no TLS, and a password is not sent without"):
            SmtpEmail("me@x")(context())
    assert not any(line.upper().startswith((b"AUTH", b"MAIL")) for line in lines)


@pytest.mark.parametrize("answer", [b"550 nobody", b"450 later"])
def test_a_mail_that_is_not_taken_is_said(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    with smtp(answer) as (port, _):
        monkeypatch.setenv("TAILRACE_CONN_SMTP_DEFAULT", f"smtp://127.0.0.1:{port}")
        with pytest.raises(NotSent, match="takes no mail for me@x"):
            SmtpEmail("me@x")(context())


def test_without_the_connection_it_says_how_to_set_it() -> None:
    with pytest.raises(KeyError, match="smtp_default"):
        SmtpEmail("me@x")(context())


def test_email_of_a_task_is_sent_as_in_airflow() -> None:
    def told(context: Any) -> None:
        """A callback."""

    with DAG("d", default_args={"email": ["me@x"], "email_on_retry": False}) as dag:
        a = EmptyOperator(task_id="a", on_failure_callback=told)
        b = EmptyOperator(task_id="b", email_on_failure=False, email_on_retry=True)
        c = EmptyOperator(task_id="c", email=None)
    assert dag.mistakes == []
    assert a.on_failure_callback == (told, SmtpEmail("me@x"))
    assert (a.on_retry_callback, b.on_failure_callback, b.on_retry_callback) == ((), (), (SmtpEmail("me@x"),))
    assert (c.on_failure_callback, c.on_retry_callback) == ((), ())


def test_a_text_of_the_settings_is_a_notifier() -> None:
    told = ("https://x", "webhook:{{ var.value.x }}", "slack:https://x", "mailto:me@x", "shell: echo a: b")
    assert [notifiers.notifier_of(text) for text in told] == [
        Webhook("https://x"),
        Webhook("{{ var.value.x }}"),
        SlackWebhook("https://x"),
        SmtpEmail("me@x"),
        ShellCommand("echo a: b"),
    ]
