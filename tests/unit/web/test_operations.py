"""What is asked is read from path and query as one struct; what means nothing is refused with what there is."""

from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from tailrace.errors import CommandError
from tailrace.model.states import DagRunState
from tailrace.service.stores import Stores
from tailrace.web.operations import Asked, Operation


class Things(Asked, frozen=True, kw_only=True):
    dag_id: str
    limit: Annotated[int, Meta(ge=1, le=9)] = 5
    state: DagRunState | None = None
    task: tuple[str, ...] = ()
    flag: bool = False


def things(stores: Stores, asked: Things) -> tuple[str, ...]:
    """Things."""
    return ()


OPERATION = Operation("/dags/{dag_id}/things", things)


def read(query: bytes = b"", dag_id: str = "a") -> Any:
    return OPERATION.read({"dag_id": dag_id}, query)


def test_a_query_is_read() -> None:
    assert read() == Things(dag_id="a")
    assert read(b"limit=9&flag=true&state=failed&task=x&&task=y%2Fz+%C3%A9%2B") == Things(
        dag_id="a", limit=9, flag=True, state=DagRunState.FAILED, task=("x", "y/z é+")
    )
    assert read(dag_id="a%2Fb%C3%A9%252F").dag_id == "a/bé%2F"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (b"limit=0", "limit: expected `int` >= 1"),
        (b"limit=10", "limit: expected `int` <= 9"),
        (b"limit=", "limit: expected"),
        (b"limit=1&limit=2", "limit is given twice"),
        (b"limits=1", "unknown parameter 'limits'; did you mean limit?"),
        (b"qqq=1", "unknown parameter 'qqq'; there are limit, state, task, flag"),
        (b"dag_id=b", "unknown parameter 'dag_id'"),
        (b"state=lost", "state: it is one of queued, running"),
        (b"task=%00", "a parameter holds a character that no name has"),
        (b"task=%ed%a0%80", "a parameter is no text in UTF-8"),
        (b"x" * 8000 + b"=1", "unknown parameter 'xxxxx"),
    ],
)
def test_what_means_nothing_is_refused(query: bytes, said: str) -> None:
    with pytest.raises(CommandError) as refused:
        read(query)
    assert str(refused.value).startswith(said)
    assert len(str(refused.value)) < 200


@given(st.binary(), st.text(st.characters(max_codepoint=127, exclude_characters="/")))
def test_whatever_is_sent_is_read_or_refused(query: bytes, part: str) -> None:
    try:
        asked = read(query, part)
    except CommandError as refused:
        assert "\n" not in str(refused)
    else:
        assert "\0" not in asked.dag_id
