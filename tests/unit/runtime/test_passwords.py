"""A password is nowhere said, in whatever form somebody wrote the address: settings, errors, tracebacks, JSON."""

import itertools
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import CommandError
from tailrace.metastore.db.address import Address, hide_secrets, read_address
from tailrace.metastore.db.connection import Database

#: Two halves of a password, around what makes it hard to read: neither may be seen anywhere.
HALVES = ("Zq7xMARK", "Kw9vMARK")
BETWEEN = (
    "",
    "@",
    "/",
    "?",
    "#",
    ":",
    "%",
    "%40",
    "&",
    "=",
    " ",
    "'",
    '"',
    "\\",
    ";",
    "é",
    "\n",
    "$x",
    "+",
    "//",
    "@@",
)

SCHEMES = (
    *("postgresql://", "postgres://", "postgresql+psycopg://", "PostgreSQL://", "postgresql+psycopg2://", "mysql://"),
    *("jdbc:postgresql://", "sqlite://", "sqlite:///", "", "//", "postgresql:", "postgresql:/"),
)
AT = "127.0.0.1:1/db"

FORMS = (
    *("{scheme}u:{password}@" + AT, "{scheme}:{password}@" + AT, "{scheme}u:{password}@/db?host=127.0.0.1&port=1"),
    *("{scheme}u:{password}@127.0.0.1:{password}/db", "{scheme}u:{password}", "{scheme}u:{password}@[::1]:1/db"),
    *("{scheme}u:{password}@127.0.0.1:1,127.0.0.1:2/db", "{scheme}u@h:{password}@" + AT),
    "{scheme}" + AT + "?user=u&password={password}",
    "{scheme}" + AT + "?PASSWORD={password}&application_name=a",
    "{scheme}" + AT + "?sslpassword={password}",
    "{scheme}" + AT + "?passwd={password};x=1",
    "{scheme}" + AT + "?options=-c%20my.key%3D{password}",
    "{scheme}" + AT + "&password={password}",
)
DSNS = (
    "host=127.0.0.1 port=1 user=u password={password}",
    "host=127.0.0.1 port=1 user=u password='{password}' dbname=db",
    "dbname=postgresql://u:{password}@127.0.0.1:1/db",
    "password={password}",
    "{password}",
    "user/{password}@127.0.0.1:1/db",
    "Server=127.0.0.1;Port=1;User Id=u;Password={password};Database=db",
    '"postgresql://u:{password}@127.0.0.1:1/db"',
    " postgresql://u:{password}@127.0.0.1:1/db",
    "psql postgresql://u:{password}@127.0.0.1:1/db",
)


def addresses() -> list[str]:
    """Some two thousand, sensible and not, the password as it is and percent-encoded."""
    found = []
    for between, encode in itertools.product(BETWEEN, (str, lambda text: quote(text, safe=""))):
        password = encode(between.join(HALVES))
        found += [
            form.format(scheme=scheme, password=password)
            for form, scheme in itertools.product(FORMS, SCHEMES)
            # Nobody can tell that from a path, and with an @ in it from a password and a host.
            if form != "{scheme}u:{password}" or (scheme != "sqlite:///" and "@" not in password)
        ]
        found += [dsn.format(password=password) for dsn in DSNS]
    return list(dict.fromkeys(found))


def is_said(text: str) -> bool:
    return any(half in text for half in (*HALVES, HALVES[0].lower()))


def test_no_address_shows_its_password() -> None:
    tried = addresses()
    assert len(tried) > 2000
    read = 0
    for text in tried:
        try:
            address = read_address(text)
        except CommandError as mistake:
            assert not is_said(str(mistake)), text
            continue
        read += 1
        database = Database(address, sqlite_synchronous="normal", clock=None, wait_seconds=1)
        assert not any(map(is_said, (str(address), repr(address), f"{address}", database.where, f"{[address]}"))), text
        for hide in (address.hide_in, hide_secrets):
            assert not is_said(hide(str(database._engine.url.render_as_string(hide_password=False)))), text
    assert read > 200, "and those that are right are taken"


@pytest.mark.parametrize("value", ['["postgresql://u:{}@h/db"]', '{{url = "postgresql://u:{}@h/db"}}', '"x:{}@h"'])
def test_nor_does_a_mistake_of_another_kind(tmp_path: Path, value: str) -> None:
    from tailrace.runtime.settings import load_settings

    for name in ("database_url", "workers", "executor", "lease_seconds", "dags", "backfill_weight"):
        (tmp_path / "tailrace.toml").write_text(f"{name} = {value.format(HALVES[0])}\n")
        try:
            load_settings(environ={}, cwd=tmp_path)
        except CommandError as mistake:
            assert not is_said(str(mistake))


TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), min_size=1)


@given(user=TEXT, password=TEXT, database=TEXT)
def test_what_is_encoded_arrives_as_it_was(user: str, password: str, database: str) -> None:
    parts = (quote(part, safe="") for part in (user, password, database))
    address = read_address("postgresql://{}:{}@here:5433/{}?sslmode=require&host=%2Fa".format(*parts))
    assert (address.user, address.password, address.database) == (user, password, database)
    assert (address.host, address.port, dict(address.options)) == ("here", 5433, {"sslmode": "require", "host": "/a"})
    assert read_address(str(address)) == Address(
        user=user, password="***", host="here", port=5433, database=database, options=address.options
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://u:p@h:5433/db", "postgresql+psycopg://u:***@h:5433/db"),
        ("postgresql:///db?host=/run/pg", "postgresql+psycopg:///db?host=/run/pg"),
        ("postgresql://%2Frun%2Fpg/db", "postgresql+psycopg://%2Frun%2Fpg/db"),
        ("postgresql://[::1]:5433/db", "postgresql+psycopg://[::1]:5433/db"),
        ("postgresql://h1,h2/db", "postgresql+psycopg://h1,h2/db"),
        ("postgresql://me@", "postgresql+psycopg://me@"),
        ("postgresql://h?sslmode=require&sslkey=k", "postgresql+psycopg://h?sslmode=require&sslkey=***"),
        ("sqlite:////a?b/c%20d#e:f@g", "sqlite:////a?b/c%20d#e:f@g"),
    ],
)
def test_how_an_address_is_shown(text: str, shown: str) -> None:
    assert str(read_address(text)) == shown
