"""Fixtures that more than one part of the suite needs. PostgreSQL is imported only where it is asked for."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

#: How long an example takes says how busy the machine is. The suite draws the same examples every time, so that what
#: fails once fails again; ``make flakes`` draws others.
settings.register_profile("drawn", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("suite", settings.get_profile("drawn"), derandomize=True)
settings.load_profile("suite")

#: What a shell starts with & ignores Ctrl-C, and so would all that the tests start and send it to.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak-repeats", type=int, default=20, help="how often the soak test repeats")


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process knows the passwords of the addresses it has read; a letter that is one would be hidden everywhere."""
    monkeypatch.setattr("tailrace.metastore.db.address._secrets", set())


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """One PostgreSQL server for the whole session."""
    from tests.postgres_server import PostgresServer

    with PostgresServer.running(durable=False) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: Any) -> str:
    """A fresh, empty database."""
    return str(postgres_server.new_database())
