"""The web application over a test's metastore, asked in this process, and the command line over the same."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tailrace.cli.main import run
from tailrace.cli.remedies import command_of
from tailrace.runtime.settings import Settings, load_settings
from tailrace.service.stores import Stores
from tailrace.web.application import Application, Site
from tailrace.web.server import LOOPBACK_NAMES
from tailrace.web.sessions import Sessions
from tailrace.web.signing_in import cookie_name
from tests.asgi import Asker

PORT = 8080


@contextmanager
def serving(settings: Settings, bugs: list[Exception] | None = None) -> Iterator[Asker]:
    """Asks as a browser that has signed in."""
    numbers = iter(range(1_000_000))
    sessions = Sessions(lambda: 0.0, lambda: f"secret{next(numbers)}")
    found = [] if bugs is None else bugs
    stores = Stores(settings, command_of, patient=False)
    app = Application(stores, sessions, Site(PORT, frozenset(LOOPBACK_NAMES)), lambda: None, found.append)
    session = sessions.exchange(sessions.token)
    assert session is not None
    yield Asker(app, (b"cookie", f"{cookie_name(PORT)}={session}".encode()))
    app.close()
    assert bugs is not None or found == []


@pytest.fixture
def web_settings(url: str, tmp_path: Path) -> Settings:
    """The settings by which the test's metastore is served."""
    return load_settings({}, environ={"TAILRACE_DATABASE_URL": url}, cwd=tmp_path)


@pytest.fixture
def asker(web_settings: Settings) -> Iterator[Asker]:
    """Asks the application over the test's metastore."""
    with serving(web_settings) as found:
        yield found


@pytest.fixture
def typed(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """What a command prints with ``-o json``; it ends well."""
    monkeypatch.setenv("TAILRACE_DATABASE_URL", url)
    monkeypatch.chdir(tmp_path)

    def type_it(*words: str) -> Any:
        capsys.readouterr()
        assert run([*words, "-o", "json"]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return type_it
