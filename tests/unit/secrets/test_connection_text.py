"""A Connection as text: Airflow's URIs and JSON, over whole Unicode; and no mistake repeats the text."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import SecretUnreadable
from tailrace.secrets.connection import Connection
from tailrace.secrets.connection_text import NotAConnection, fields_of, fields_of_uri, uri_of

#: Whatever a database would store.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
HOSTS = st.one_of(TEXT, st.sampled_from(["[::1]", "https://a.b", "::1", "a/b", "x://"]))
FIELDS = st.fixed_dictionaries(
    {"conn_type": st.sampled_from(["postgres", "http", "google_cloud_platform", "a1"])},
    optional={
        "host": HOSTS,
        "login": TEXT,
        "password": TEXT,
        "schema": TEXT,
        "port": st.integers(0, 65535),
        "extra": st.one_of(TEXT, st.dictionaries(TEXT, st.one_of(TEXT, st.integers(), st.none())).map(json.dumps)),
    },
)


@given(FIELDS)
def test_a_uri_and_json_say_the_same_as_the_fields(fields: dict[str, Any]) -> None:
    made = Connection("c", **fields)
    assert Connection.from_text("c", made.get_uri()) == made
    assert Connection.from_text("c", made.as_json()) == made
    assert Connection("c", uri=made.get_uri()) == made


@pytest.mark.parametrize(
    "uri, expected",
    [
        (
            "postgresql://me:p%40ss@db.example:5432/wh?sslmode=require",
            {"conn_type": "postgres", "login": "me", "password": "p@ss", "host": "db.example", "port": 5432}
            | {"schema": "wh", "extra": '{"sslmode": "require"}'},
        ),
        ("google-cloud-platform://?project=x", {"conn_type": "google_cloud_platform", "extra": '{"project": "x"}'}),
        ("aws://key:secret@/?region=eu", {"conn_type": "aws", "login": "key", "password": "secret"}),
        ("http://https://me@host:8443", {"host": "https://host", "login": "me", "port": 8443}),
        ("x://host/?__extra__=%7B%22a%22%3A+%7B%22b%22%3A+1%7D%7D", {"extra": '{"a": {"b": 1}}'}),
        ("sqlite://%2Ftmp%2Fa.db", {"host": "/tmp/a.db"}),
        ("x://me:a:b@host", {"login": "me", "password": "a:b"}),
        ("x://me:a@b@host", {"login": "me", "password": "a@b"}),
        ("x://", {"conn_type": "x", "host": None, "login": None}),
    ],
)
def test_airflows_uris_are_read_as_airflow_reads_them(uri: str, expected: dict[str, Any]) -> None:
    found = fields_of_uri(uri)
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    "text, said",
    [
        ("MARK", "neither a URI"),
        ("://MARK", "begins with its type"),
        ("1MARK://x", "begins with its type"),
        ("x://me:MA/RK@host", "port must be a number"),
        ("x://me:1/MARK/2@host", "percent-encoded as %2F"),
        ("x://me:MA#RK@host", "%23"),
        ("x://host:MARK", "port must be a number"),
        ("x://host:70000", "port must be a number"),
        ("x://%ffMARK", "UTF-8"),
        ("x://[MARK", "IPv6"),
        ('{"MARK": ', "no JSON object"),
        ('["MARK"]', "neither a URI"),
        ('{"conn_typ": "MARK"}', "no field 'conn_typ'"),
        ('{"host": 3}', "host must be text"),
        ('{"port": "MARK"}', "port must be a number"),
        ('{"conn_type": "no MARK"}', "its type must be"),
        ("[" * 100_000, "neither a URI"),
        ('{"a":' * 100_000, "no JSON object"),
    ],
)
def test_what_is_no_connection_is_refused_without_repeating_it(text: str, said: str) -> None:
    with pytest.raises(SecretUnreadable, match=said) as refused:
        Connection.from_text("c", text)
    assert "MARK" not in str(refused.value)
    assert refused.value.__cause__ is None and refused.value.__suppress_context__


@given(st.text())
def test_any_text_is_a_connection_or_refused_in_one_line(text: str) -> None:
    try:
        fields = fields_of(text)
    except NotAConnection as refused:
        assert "\n" not in str(refused)
    else:
        uri_of(fields)


def test_a_connection_hides_its_password_and_reads_its_extra() -> None:
    made = Connection("c", "x", login="me", password="MARK", extra={"a": {"b": 1}, "token": "MARK"})
    assert "MARK" not in repr(made) + str(made)
    assert made.extra_dejson == {"a": {"b": 1}, "token": "MARK"}
    assert made.get_password() == "MARK" and made.extra == '{"a": {"b": 1}, "token": "MARK"}'
    assert Connection("c").extra_dejson == {}
    with pytest.raises(SecretUnreadable, match="extra is no JSON object"):
        _ = Connection("c", extra="[1]").extra_dejson
    with pytest.raises(NotAConnection, match="not both"):
        Connection("c", host="h", uri="x://h")
