"""Whatever kind of callable a task is given, all of its code has run before the try is a success."""

import asyncio
import functools
import itertools
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import pytest

from tailrace.authoring.dags.dag import BaseOperator
from tailrace.authoring.operators.shipped import (
    BranchPythonOperator,
    EmptyOperator,
    PythonOperator,
    ShortCircuitOperator,
)
from tailrace.authoring.taskflow import task
from tests.unit.execution.builders import dag, run

ran: list[str] = []


async def coroutine(ds: str) -> str:
    ran.append("it")
    return ds


async def of_a_coroutine(ds: str) -> Any:
    return coroutine(ds)


async def fails() -> None:
    raise ValueError("inside")


async def exits() -> None:
    ran.append("it")
    sys.exit(0)


class Awaits:
    def __await__(self) -> Iterator[Any]:
        ran.append("it")
        return iter(())


class AsyncCall:
    async def __call__(self, ds: str) -> str:
        return await coroutine(ds)


async def with_more(x: int, ds: str) -> str:
    return await coroutine(ds)


def made(kind: type[PythonOperator], function: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    ran.clear()
    with dag():
        made = kind(task_id="work", python_callable=function, **arguments)
        if kind is not PythonOperator:
            made >> EmptyOperator(task_id="below")
    return run(made)


@pytest.mark.parametrize("push", [True, False])
@pytest.mark.parametrize(
    "function", [coroutine, of_a_coroutine, AsyncCall(), functools.partial(with_more, 1), lambda ds: coroutine(ds)]
)
def test_coroutines_are_awaited(function: Callable[..., Any], push: bool) -> None:
    outcome = made(PythonOperator, function, do_xcom_push=push)
    assert (outcome["kind"], ran) == ("success", ["it"])
    assert outcome["xcoms"] == ({"return_value": "2016-01-31"} if push else {})


def test_whatever_can_be_awaited_is() -> None:
    assert (made(PythonOperator, Awaits)["kind"], ran) == ("success", ["it"])
    assert made(PythonOperator, fails)["error"] == "ValueError: inside"
    assert (made(PythonOperator, exits)["kind"], ran) == ("success", ["it"])


def test_those_that_decide_await_too() -> None:
    async def below() -> str:
        return "below"

    async def no() -> bool:
        return False

    assert made(BranchPythonOperator, below)["followed"] == ("below",)
    assert made(ShortCircuitOperator, no)["followed"] == ()

    async def command() -> str:
        return "echo from bash, try {{ try_number }} after {{ prev_ds }}"

    with dag():
        made_by_bash = task.bash(command)()
    assert run(made_by_bash.operator)["xcoms"] == {"return_value": "from bash, try 2 after 2016-01-30"}


def generator() -> Iterator[int]:
    ran.append("it")
    yield 1


async def async_generator() -> AsyncIterator[int]:
    ran.append("it")
    yield 1


async def returns_a_generator() -> Iterator[int]:
    return generator()


def note(value: int) -> int:
    ran.append("it")
    return value


UNRUN: Mapping[str, tuple[Callable[..., Any], str]] = {
    "generator": (generator, "a generator (there is a `yield` in it)"),
    "async generator": (async_generator, "a generator (there is a `yield` in it)"),
    "partial": (functools.partial(generator), "a generator"),
    "awaited": (returns_a_generator, "a generator"),
    "map": (lambda: map(note, [1]), "a lazy `map`"),
    "filter": (lambda: filter(note, [1]), "a lazy `filter`"),
    "starmap": (lambda: itertools.starmap(note, [(1,)]), "a lazy `starmap`"),
    "in a list": (lambda: [1, generator()], "a generator (there is a `yield` in it) inside a list"),
    "in a dict": (lambda: {"a": map(note, [1])}, "a lazy `map` inside a dict"),
}


@pytest.mark.parametrize("push", [True, False])
@pytest.mark.parametrize("kind", [PythonOperator, BranchPythonOperator, ShortCircuitOperator])
@pytest.mark.parametrize("case", UNRUN)
def test_code_that_nobody_would_run_fails_the_try(case: str, kind: type[PythonOperator], push: bool) -> None:
    function, what = UNRUN[case]
    outcome = made(kind, function, do_xcom_push=push)
    assert (outcome["kind"], ran) == ("failed_for_good", [])
    assert outcome["error"].startswith(f"its function returned {what}")
    assert "whose code has not run: iterate" in outcome["error"]


def test_coroutines_inside_a_list_fail_the_try() -> None:
    left = [coroutine("x"), coroutine("y")]
    outcome = made(PythonOperator, lambda: left, do_xcom_push=False)
    for each in left:
        each.close()
    assert outcome["error"].startswith("its function returned a coroutine inside a list, whose code has not run")


def test_a_generator_that_the_task_iterates_is_none_of_ours() -> None:
    assert made(PythonOperator, lambda: list(generator()))["xcoms"] == {"return_value": [1]}


class _Own(BaseOperator):
    def __init__(self, *, made: Callable[[], Any], **arguments: Any) -> None:
        super().__init__(**arguments)
        self.made = made

    def execute(self, context: Mapping[str, Any]) -> Any:
        return self.made()


def test_operators_of_the_author_are_no_exception() -> None:
    ran.clear()
    with dag():
        awaited = _Own(task_id="awaited", made=lambda: coroutine("x"))
        unrun = _Own(task_id="unrun", made=generator)
        ended = _Own(task_id="ended", made=sys.exit)
    assert run(awaited)["xcoms"] == {"return_value": "x"}
    assert run(unrun)["kind"] == "failed_for_good"
    assert (run(ended)["kind"], run(ended)["xcoms"]) == ("success", {})


def test_a_branch_that_exits_well_has_returned_nothing() -> None:
    outcome = made(BranchPythonOperator, sys.exit)
    assert (outcome["kind"], outcome["followed"]) == ("success", ())


def test_tasks_that_asyncio_cancels_are_named(capfd: pytest.CaptureFixture[str]) -> None:
    async def leaves() -> None:
        asyncio.get_running_loop().create_task(asyncio.Event().wait(), name="slow")

    assert made(PythonOperator, leaves)["kind"] == "success"
    said = capfd.readouterr().err
    assert "--- cancelled, because nobody awaits them: asyncio tasks slow (Event.wait)" in said
