"""What a hostile page, neighbour or program may try is refused, and says nothing."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tailrace.cli.remedies import command_of
from tailrace.errors import NotFound
from tailrace.runtime.settings import Settings, load_settings
from tailrace.service.log_files import open_log
from tailrace.service.stores import Stores
from tailrace.web.application import Application, Site
from tailrace.web.guarding import LONGEST_TARGET
from tailrace.web.server import LOOPBACK_NAMES
from tailrace.web.sessions import Sessions
from tailrace.web.signing_in import cookie_name
from tests.asgi import Asker
from tests.conformance.serving import PORT, asker, serving, web_settings
from tests.conformance.stories import PLAIN, Drive
from tests.conformance.worlds import World

__all__ = ["asker", "web_settings"]

API = "/api/v1"


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Asker]:
    """Asks over a metastore that is not there yet."""
    with serving(load_settings({}, environ={}, cwd=tmp_path)) as found:
        yield found


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *((name.encode(), 200) for name in ("localhost", "127.0.0.1", "[::1]", "LOCALHOST:8080", "127.0.0.1:9000")),
        *((name, 421) for name in (b"evil.example", b"evil.example:8080", b"127.0.0.1.evil.example", b"localhost.")),
        *((name, 421) for name in (b"127.0.0.2", b"0.0.0.0", b"[::]", b"0x7f.1", b"2130706433")),
        *(
            (name, 400)
            for name in (None, b"", b"localhost:", b"localhost:8080:1", b"a@localhost", b"localhost/", b"\xe9")
        ),
        *((name, 400) for name in (b"localhost:999999", b" localhost", b"[::1", b"localhost\t")),
    ],
)
def test_only_names_of_this_machine_are_answered(empty: Asker, host: bytes | None, status: int) -> None:
    """A page whose name was made to lead here sends its own."""
    reply = empty.get(f"{API}/runs", host=host)
    assert reply.status == status
    assert (reply.body == b"[]") is (status == 200)
    assert (reply.headers.get("connection") == "close") is (status != 200)


def test_a_second_host_is_none(empty: Asker) -> None:
    assert empty.get(f"{API}/runs", (b"host", b"localhost")).status == 400


def test_every_reply_says_how_it_may_be_used(empty: Asker) -> None:
    for target, host in ((f"{API}/runs", b"localhost"), ("/", b"localhost"), ("/none", b"localhost"), ("/", b"evil")):
        headers = empty.get(target, host=host).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert not [name for name in headers if name.startswith("access-control-")]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "X"])
def test_nothing_is_changed(empty: Asker, method: str) -> None:
    reply = empty.get(f"{API}/runs", method=method)
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")
    assert "on the command line" in reply.json["detail"]


def test_what_is_too_long_is_refused_unread(empty: Asker) -> None:
    assert empty.get(f"{API}/dags/{'a' * LONGEST_TARGET}").status == 414
    assert empty.get(f"{API}/runs?dag_id={'a' * LONGEST_TARGET}").status == 414
    for length in (b"104857600", b"9" * 5000, b"-1", b"x", b"\xb2"):
        assert empty.get(f"{API}/runs", (b"content-length", length), method="POST").status == 413
    assert empty.get(f"{API}/runs", *[(b"x-a", b"b")] * 200).status == 431


@pytest.mark.parametrize("site", [b"cross-site", b"same-site", b"other"])
def test_pages_of_other_sites_ask_for_nothing(empty: Asker, site: bytes) -> None:
    """Another port of this host is the same site: its pages are sent the cookie, and would send it here."""
    for mode in (b"no-cors", b"cors", b"websocket"):
        assert empty.get(f"{API}/runs", (b"sec-fetch-site", site), (b"sec-fetch-mode", mode)).status == 403
    assert empty.get("/", (b"sec-fetch-site", site), (b"sec-fetch-mode", b"navigate")).status == 200
    assert empty.get(f"{API}/runs", (b"sec-fetch-site", b"same-origin"), (b"sec-fetch-mode", b"cors")).status == 200


@pytest.mark.parametrize(
    "path",
    [
        *("//", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/static/../../../etc/passwd", "/api/v1/../../x"),
        *("/api/v1/dags/..%2f..%2f..%2fetc%2fpasswd", "/api/v1/dags/%2e%2e", "/api/v1//runs", "/api/v1/runs/"),
        *("http://evil.example/", "/\\..\\..", "/api/v1/dags/a/runs/..%2f..%2f/tasks/..%2f..%2fx/log"),
        "/api/v1/dags/a/runs/b/tasks/c/log/../../../../../../../etc/passwd",
    ],
)
def test_no_path_leads_elsewhere(empty: Asker, path: str) -> None:
    assert empty.get(path).status == 404


# --- sessions -----------------------------------------------------------------------------------------------


class Door:
    """A server that nobody has signed in to."""

    def __init__(self, settings: Settings) -> None:
        numbers = iter(range(1000))
        self.sessions = Sessions(lambda: 0.0, lambda: f"secret{next(numbers)}")
        self.offers = 0
        stores, site = Stores(settings, command_of, patient=False), Site(PORT, frozenset(LOOPBACK_NAMES))
        self.asker = Asker(Application(stores, self.sessions, site, self.offer, lambda error: None))

    def offer(self) -> None:
        self.offers += 1

    def cookie(self, session: str, name: str = cookie_name(PORT)) -> tuple[bytes, bytes]:
        return b"cookie", f"{name}={session}".encode()


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(load_settings({}, environ={}, cwd=tmp_path))


def test_a_stranger_is_told_nothing(door: Door) -> None:
    for path in ("/", f"{API}/runs", f"{API}/none", f"{API}/openapi.json", "/static/x.js", "/metrics", f"{API}/events"):
        reply = door.asker.get(path)
        assert (reply.status, reply.headers["cache-control"]) == (401, "no-store")
        assert "www-authenticate" in reply.headers
        assert b"secret" not in reply.body
    assert door.asker.get("/health").json == {"ok": True}
    assert door.asker.get(f"{API}/runs", door.cookie("secret9")).status == 401
    assert door.asker.get(f"{API}/runs", door.cookie(door.sessions.token)).status == 401, "a token is no session"
    assert door.asker.get(f"{API}/runs?token={door.sessions.token}").status == 401
    assert door.offers == 0


def test_the_token_is_exchanged_and_gone_from_the_address(door: Door) -> None:
    token = door.sessions.token
    assert door.asker.get(f"/?token={token}", method="HEAD").status == 401, "who only looks at the link takes nothing"
    reply = door.asker.get(f"/?token={token}")
    assert (reply.status, reply.headers["location"], reply.headers["referrer-policy"]) == (303, "/", "no-referrer")
    assert reply.headers["cache-control"] == "no-store"
    name, *attributes = reply.headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(attributes)
    assert not [each for each in attributes if each.lower().startswith("domain")]
    assert token not in str(reply.headers) and token.encode() not in reply.body
    session = name.removeprefix(f"{cookie_name(PORT)}=")
    assert door.asker.get(f"{API}/runs", door.cookie(session)).status == 200
    assert door.offers == 1
    assert door.asker.get(f"/?token={token}").status == 401, "it was for one browser"
    assert door.asker.get(f"/?token={token}", door.cookie(session)).status == 303, "its own goes on without it"
    assert door.asker.get(f"{API}/runs", door.cookie(session, cookie_name(PORT + 1))).status == 401


def test_a_session_that_was_planted_is_none(door: Door) -> None:
    planted = "planted"
    reply = door.asker.get(f"/?token={door.sessions.token}", door.cookie(planted))
    assert planted not in reply.headers["set-cookie"]
    assert door.asker.get(f"{API}/runs", door.cookie(planted)).status == 401
    mine = reply.headers["set-cookie"].partition("=")[2].partition(";")[0]
    both = (b"cookie", f"{cookie_name(PORT)}={planted}; {cookie_name(PORT)}={mine}".encode())
    assert door.asker.get(f"{API}/runs", both).status == 200, "one set beside it locks nobody out"


# --- what people have written -------------------------------------------------------------------------------


@pytest.fixture
def ran(world: World) -> World:
    Drive(world, PLAIN, world.backfill(PLAIN), {}).go()
    return world


def test_no_log_is_read_through_a_link(ran: World, asker: Asker, web_settings: Settings) -> None:
    """Whoever may write in a folder of logs would else show what only the server's user may read."""
    [run] = asker.get(f"{API}/runs").json
    secret = web_settings.project / "secret"
    secret.mkdir()
    (secret / "a.1.log").write_text("secret")
    there = f"{API}/dags/plain/runs/{run['run_id'].replace('+', '%2B')}/tasks/a/log"
    folder = web_settings.logs / "plain"
    folder.mkdir(parents=True)
    assert asker.get(there).status == 404
    (folder / run["run_id"]).symlink_to(secret)
    assert (asker.get(there).status, b"symbolic link" in asker.get(there).body) == (404, True)
    (folder / run["run_id"]).unlink()
    (folder / run["run_id"]).mkdir()
    log = folder / run["run_id"] / "a.1.log"
    log.symlink_to(secret / "a.1.log")
    assert (asker.get(there).status, b"symbolic link" in asker.get(there).body) == (404, True)
    log.unlink()
    os.mkfifo(log)
    assert asker.get(there).status == 404, "and nobody waits for it"
    log.unlink()
    log.mkdir()
    assert asker.get(there).status == 404
    log.rmdir()
    log.write_text("mine")
    assert asker.get(there).body == b"mine"
    web_settings.logs.rename(web_settings.project / "moved")
    web_settings.logs.symlink_to(web_settings.project / "moved")
    assert asker.get(there).body == b"mine", "the folder itself its owner may have put anywhere"


def test_open_log_opens_files_only(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no log at"):
        open_log(tmp_path, tmp_path / "a" / "b.log")
    with pytest.raises(ValueError):
        open_log(tmp_path, tmp_path.parent / "b.log")


def test_no_value_of_a_secret_is_sent(world: World, web_settings: Settings, asker: Asker) -> None:
    from tailrace.secrets.names import SecretKind
    from tailrace.service.secrets import set_secret

    with Stores(web_settings, command_of) as stores:
        set_secret(stores, SecretKind.VARIABLE, "key", "s3cret-value", "what for")
        set_secret(stores, SecretKind.CONNECTION, "db", "postgres://me:s3cret-value@host/x?token=s3cret-value", None)
    [variable], [connection] = asker.get(f"{API}/variables").json, asker.get(f"{API}/connections").json
    assert (variable["name"], variable["description"]) == ("key", "what for")
    assert (connection["conn_type"], connection["host"], connection["login"]) == ("postgres", "host", "me")
    for name in ("variables", "connections"):
        assert b"s3cret" not in asker.get(f"{API}/{name}").body


def test_what_nobody_foresaw_is_not_told(web_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("postgres://me:s3cret@host")

    monkeypatch.setattr("tailrace.service.views.list_pools", fail)
    bugs: list[Exception] = []
    with serving(web_settings, bugs) as asker:
        reply = asker.get(f"{API}/pools")
    assert (reply.status, reply.headers["content-type"]) == (500, "application/problem+json")
    assert b"s3cret" not in reply.body
    assert [str(each) for each in bugs] == ["postgres://me:s3cret@host"]


def test_the_page_and_what_is_beside_it(empty: Asker) -> None:
    page = empty.get("/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert empty.get("/backfills").body == empty.get("/dags").body == page.body
    script = empty.get("/static/main.js")
    assert (script.status, script.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert empty.get("/static/main.js", (b"if-none-match", script.headers["etag"].encode())).status == 304
    for missing in ("/static/", "/static/index.html", "/static/pages", "/static/main.js/", "/static//main.js", "/x"):
        assert empty.get(missing).status == 404
