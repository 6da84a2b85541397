"""Pools, jobs, Variables and Connections, as lists. No secret is in them: no value, no password, no extra."""

from msgspec import Struct

from tailrace import __version__
from tailrace.secrets.names import SecretKind
from tailrace.service import secrets, views
from tailrace.service.pages import Listed
from tailrace.service.secrets import SecretShown
from tailrace.service.shown import Job, PoolSummary
from tailrace.service.stores import Stores
from tailrace.web.operations import Asked, AskedList, Operation


class Version(Struct, frozen=True):
    """Which Tailrace this is, and which API."""

    tailrace: str
    api: str


def list_pools(stores: Stores, asked: Asked) -> tuple[PoolSummary, ...]:
    """Every pool, by name, with what occupies it."""
    return views.list_pools(stores)


def list_jobs(stores: Stores, asked: AskedList) -> Listed[Job]:
    """Jobs, newest first: the processes that drive backfills and schedules."""
    return views.page_of_jobs(stores, asked.paging)


def list_variables(stores: Stores, asked: Asked) -> tuple[SecretShown, ...]:
    """The Variables that are stored, without their values."""
    return secrets.list_secrets(stores, SecretKind.VARIABLE, values=False)


def list_connections(stores: Stores, asked: Asked) -> tuple[SecretShown, ...]:
    """The Connections that are stored, without their passwords and extras."""
    return secrets.list_secrets(stores, SecretKind.CONNECTION, values=False)


def show_version(stores: Stores, asked: Asked) -> Version:
    """Which Tailrace this is."""
    return Version(__version__, "v1")


OPERATIONS = (
    Operation("/pools", list_pools),
    Operation("/jobs", list_jobs),
    Operation("/variables", list_variables),
    Operation("/connections", list_connections),
    Operation("/version", show_version),
)
