"""``Variable`` and ``Connection`` as a task calls them, over a worker that is a dict."""

from collections.abc import Iterator

import pytest

from tailrace import Connection, Variable
from tailrace.exceptions import SecretNotFound, SecretUnreadable
from tailrace.execution.context.secret_names import CONN, VAR
from tailrace.secrets.known import masked
from tailrace.secrets.requests import SecretFound, SecretQuery, SecretRefused, SecretReply, SecretRequest
from tailrace.secrets.source import ask_by

STORED: dict[str, str] = {}
ASKED: list[SecretRequest] = []


@pytest.fixture(autouse=True)
def worker() -> Iterator[None]:
    def ask(request: SecretRequest) -> SecretReply:
        ASKED.append(request)
        if isinstance(request, SecretQuery):
            refused = STORED.get(f"refused {request.name}")
            return SecretFound(STORED.get(request.name)) if refused is None else SecretRefused(refused)
        if request.value is None:
            STORED.pop(request.name, None)
        else:
            STORED[request.name] = request.value
        return SecretFound(None)

    STORED.clear()
    ask_by(ask)
    yield
    ask_by(None)


def test_a_variable_is_got_set_and_deleted() -> None:
    Variable.set("a", "text")
    assert Variable.get("a") == Variable.get("a", "other") == "text"
    Variable.set("n", 5)
    assert Variable.get("n") == "5" and Variable.get("n", deserialize_json=True) == 5
    Variable.set("j", {"x": [1]}, serialize_json=True)
    assert Variable.get("j", deserialize_json=True) == {"x": [1]}
    Variable.delete("a")
    Variable.delete("a")
    assert Variable.get("a", default_var=None) is None
    assert Variable.get("a", None) is None
    assert Variable.get("a", default={}, deserialize_json=True) == {}
    assert Variable.setdefault("s", {"y": 1}, deserialize_json=True) == {"y": 1}
    ASKED.clear()
    assert Variable.setdefault("s", {"y": 2}, deserialize_json=True) == {"y": 1}
    assert len(ASKED) == 1


def test_what_is_not_there_says_how_to_set_it() -> None:
    with pytest.raises(KeyError, match="`tailrace variables set nope VALUE`.* TAILRACE_VAR_NOPE") as missing:
        Variable.get("nope")
    assert isinstance(missing.value, SecretNotFound) and not str(missing.value).startswith("'")
    with pytest.raises(SecretNotFound, match="`tailrace variables set 'it; is' VALUE`"):
        Variable.get("it; is")
    with pytest.raises(SecretNotFound) as broken:
        Variable.get("two\nlines")
    assert "\n" not in str(broken.value)
    with pytest.raises(SecretNotFound, match="`tailrace connections set nope URI`.* TAILRACE_CONN_NOPE"):
        Connection.get("nope")


def test_what_cannot_be_read_is_no_default() -> None:
    STORED["bad"] = "{MARK"
    with pytest.raises(SecretUnreadable, match="'bad' is no JSON") as wrong:
        Variable.get("bad", default={}, deserialize_json=True)
    assert "MARK" not in str(wrong.value)
    STORED["bad"] = "[" * 100_000
    with pytest.raises(SecretUnreadable, match="too deep"):
        Variable.get("bad", deserialize_json=True)
    STORED["refused bad"] = "it does not decrypt"
    with pytest.raises(SecretUnreadable, match="Variable 'bad': it does not decrypt"):
        Variable.get("bad", "default")
    with pytest.raises(SecretUnreadable) as unreadable:
        CONN.get("bad", "default")
    assert not isinstance(unreadable.value, KeyError)


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800", "x" * 600, None, 5])
def test_what_can_be_no_name_is_refused(name: object) -> None:
    for call in (Variable.get, Connection.get, Variable.delete):
        with pytest.raises(ValueError, match="must be"):
            call(name)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_what_can_be_no_value_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="can be stored"):
        Variable.set("a", value)
    with pytest.raises(TypeError, match="no JSON value"):
        Variable.set("a", object(), serialize_json=True)


def test_the_environment_of_the_task_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    STORED["a"] = "stored"
    monkeypatch.setenv("AIRFLOW_VAR_A", "airflow's")
    assert Variable.get("a") == "airflow's"
    monkeypatch.setenv("TAILRACE_VAR_A", "ours")
    assert Variable.get("a") == "ours"
    monkeypatch.setenv("AIRFLOW_CONN_C", '{"conn_type": "http", "host": "h"}')
    assert Connection.get("c").host == "h"


def test_templates_name_them() -> None:
    STORED.update(a="text", j='{"x": {"y": 5}}', db="postgres://me:pw@host:1/s")
    assert VAR.value.a == VAR.value["a"] == VAR.value.get("a") == "text"
    assert VAR.value.get("b", "default") == "default" and VAR.json.get("b", {}) == {}
    assert VAR.json.j["x"]["y"] == 5
    assert (CONN.db.host, CONN["db"].port, CONN.get("db").login) == ("host", 1, "me")
    assert CONN.get("other", None) is None
    with pytest.raises(SecretNotFound):
        _ = VAR.value.nope


def test_whatever_is_found_is_masked_from_then_on() -> None:
    STORED.update(my_token="t0k3n-of-mine", stage="production", db="x://me:passw0rd-there@host")
    assert Variable.get("my_token") and Variable.get("stage") and Connection.get("db")
    assert masked("t0k3n-of-mine production passw0rd-there") == "*** production ***"
    Variable.set("new_password", "set-by-the-task")
    assert masked("set-by-the-task") == "***"


def test_a_process_with_nobody_to_ask_has_its_environment_alone() -> None:
    ask_by(None)
    with pytest.raises(SecretNotFound):
        Variable.get("a")
    with pytest.raises(SecretUnreadable, match="only a task that runs can"):
        Variable.set("a", "b")
