"""DAG files as people write them: what they compile to, and every mistake at once with its line."""

import os
import pickle
import textwrap
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given

from tailrace import DAG, BashOperator, EmptyOperator
from tailrace.authoring.compiling.dag_specs import compile_dag
from tailrace.authoring.loading.load import LoadedDags, bundled_examples_path, load_dags
from tailrace.metastore.writes.specs import spec_from, spec_hash, spec_text
from tailrace.model.plain_text import LONGEST_LINE, is_storable
from tailrace.model.rules import TriggerRule
from tailrace.model.spec import BranchKind
from tests.unit.model.anything import texts

HEAD = """
from datetime import datetime, timedelta
from tailrace import *
from tailrace import chain, cross_downstream, dag, task
"""


@pytest.fixture
def load(tmp_path: Path):
    def load(body: str, name: str = "dag.py") -> LoadedDags:
        (tmp_path / name).write_text(HEAD + textwrap.dedent(body))
        return load_dags(tmp_path)

    return load


def messages(loaded: LoadedDags) -> list[str]:
    return [f"{mistake.line} {mistake.message}" for mistake in loaded.mistakes]


def test_the_example_of_the_thread() -> None:
    loaded = load_dags(bundled_examples_path() / "example_bash_operator.py")
    spec = loaded.specs["example_bash_operator"]
    assert [task.task_id for task in spec.tasks] == [
        *("also_run_this", "runme_0", "runme_1", "runme_2", "run_after_loop", "run_this_last")
    ]
    assert spec.by_id["run_this_last"].upstream == ("also_run_this", "run_after_loop")
    assert spec.leaves == {"run_this_last"}
    assert spec.by_id["runme_0"].priority_weight == 3


def test_all_bundled_examples_load() -> None:
    loaded = load_dags(bundled_examples_path())
    assert loaded.mistakes == ()
    assert len(loaded.specs) == 6


def test_wrong_and_missing_arguments_hide_no_other_mistake(load) -> None:
    """Python itself would stop at the first of them."""
    loaded = load(
        """
        with DAG("x", nonsense=1, catch_up=True, start_date="2024-01", default_args={"retires": 2, "email": "me"}):
            a = BashOperator(task_id="a", bash_comand="true")
            b = PythonOperator(task_id="b")
            EmptyOperator(task_id="c", trigger_rule="all_sucess")
            a >> "b"
            EmptyOperator()

        DAG("y", start_date=datetime(2024, 1, 1).date(), default_args=[1])
        """
    )
    assert messages(loaded) == [
        "6 DAG has no argument 'catch_up'; did you mean 'catchup'?",
        "6 DAG has no argument 'nonsense'",
        "6 default_args has no argument 'retires'; did you mean 'retries'?",
        "6 default_args: email must be e-mail addresses, not 'me'",
        "6 start_date must be a datetime, not '2024-01'; write datetime(2024, 1, 31)",
        "7 task a: BashOperator has no argument 'bash_comand'; did you mean 'bash_command'?",
        "7 task a: bash_command must be text, not left out",
        "7 task a: only tasks, task groups and lists of them can be related by >> and <<, not 'b'",
        "8 task b: python_callable must be callable, not left out",
        "9 task c: trigger_rule 'all_sucess' is not a trigger rule; did you mean 'all_success' or 'one_success'?",
        "11 task left out: task_id must be a name without spaces or slashes, not left out",
        "13 default_args must be a dict, not [1]",
        "13 start_date must be a datetime, not datetime.date(2024, 1, 1); write datetime(2024, 1, 31)",
    ]


def test_every_mistake_at_once_with_its_line(load) -> None:
    loaded = load(
        """
        with DAG("x", schedule="61 * * * *", start_date=datetime(2020, 1, 1)):
            a = EmptyOperator(task_id="a", triger_rule="x")
            b = EmptyOperator(task_id="b", trigger_rule="all_sucess", retries=-1)
            EmptyOperator(task_id="a")
            a >> b >> a
        """
    )
    assert loaded.specs == {}
    assert messages(loaded) == [
        "6 bad cron expression '61 * * * *': bad minute",
        "7 cycle: a >> b >> a",
        "7 task a: EmptyOperator has no argument 'triger_rule'; did you mean 'trigger_rule' or 'weight_rule'?",
        "8 task b: retries must be a whole number, at least 0, not -1",
        "8 task b: trigger_rule 'all_sucess' is not a trigger rule; did you mean 'all_success' or 'one_success'?",
        "9 duplicate task_id 'a'; the first is at line 7",
    ]


@pytest.mark.parametrize(
    ("body", "line", "words"),
    [
        ("import no_such_module_here", 5, "ModuleNotFoundError"),
        ("x = (", 5, "syntax error"),
        ("raise RuntimeError('boom')", 5, "RuntimeError: boom"),
        ("import sys; sys.exit(3)", 5, "SystemExit"),
        ("EmptyOperator(task_id='lonely')", 5, "is in no DAG"),
    ],
)
def test_a_broken_file_is_one_mistake_and_the_others_still_load(load, body: str, line: int, words: str) -> None:
    load('with DAG("fine"): EmptyOperator(task_id="a")', "fine.py")
    loaded = load(body, "broken.py")
    assert list(loaded.specs) == ["fine"]
    assert [(mistake.line, words in mistake.message) for mistake in loaded.mistakes] == [(line, True)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("description=5", "description must be text, not 5"),
        ("tags=['a', 3]", "tags must be texts, not ['a', 3]"),
        ("tags='abc'", "tags must be texts, not 'abc'"),
        ("default_args={'retry_delay': 1e40}", "retry_delay must be at most 1000000 days, not 1e+40"),
        (
            "default_args={'execution_timeout': timedelta(days=9999999)}",
            "execution_timeout must be at most 1000000 days",
        ),
        ("max_active_runs=10**30", f"max_active_runs must be at most 2147483647, not {10**30}"),
        ("default_args={'retries': 2**31 - 1}", "retries must be at most 1000000, not 2147483647"),
        ("default_args={'priority_weight': 10**30}", f"priority_weight must be at most 2147483647, not {10**30}"),
    ],
)
def test_what_no_metastore_takes_is_a_mistake(load, arguments: str, words: str) -> None:
    loaded = load(f'with DAG("x", {arguments}): EmptyOperator(task_id="a")')
    assert [words in mistake.message for mistake in loaded.mistakes] == [True]
    assert loaded.specs == {}


def test_subclasses_are_taken_for_what_they_are(load) -> None:
    """pendulum's and pandas' dates and durations are such; a class of the DAG file itself is known nowhere else."""
    loaded = load(
        """
        class Moment(datetime): pass
        class Span(timedelta): pass
        class Name(str): pass
        class Number(int): pass
        with DAG(Name("x"), start_date=Moment(2024, 1, 1), end_date=Moment(2024, 2, 1), description=Name("d"),
                 tags=[Name("t")], max_active_runs=Number(2), schedule="@daily"):
            EmptyOperator(task_id=Name("a"), retries=Number(1), retry_delay=Span(seconds=3), pool=Name("p"),
                          execution_timeout=Span(seconds=4), max_retry_delay=Span(seconds=5), pool_slots=Number(2))
        """
    )
    assert loaded.mistakes == ()
    assert type(loaded.specs["x"].start_date) is datetime
    assert pickle.loads(pickle.dumps(loaded.specs)) == loaded.specs
    assert spec_from(spec_text(loaded.specs["x"])) == loaded.specs["x"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            "start_date=datetime(1, 1, 1), timezone='Europe/Berlin'",
            "0001-01-01T00:00:00 in Europe/Berlin is no date",
        ),
        ("description='\\udcff'", "description must be text that can be written"),
        ("tags=5", "tags must be texts, not 5"),
    ],
)
def test_what_no_store_can_hold_is_a_mistake(load, arguments: str, words: str) -> None:
    loaded = load(f'with DAG("x", {arguments}): EmptyOperator(task_id="a")')
    assert [words in mistake.message for mistake in loaded.mistakes] == [True], loaded.mistakes


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('with DAG("D" * 300): EmptyOperator(task_id="a")', "dag_id must be at most 220 bytes long, not 300"),
        ('with DAG("x"): EmptyOperator(task_id="データ" * 30)', "task_id must be at most 220 bytes long, not 270"),
        ('with DAG(".."): EmptyOperator(task_id="a")', "dag_id must be a name, not '..', which is a folder's"),
        ('with DAG("x"): EmptyOperator(task_id="..")', "task_id must be a name, not '..', which is a folder's"),
        ('with DAG("x\\n"): EmptyOperator(task_id="a")', "dag_id must be a name without spaces or slashes, not 'x\\n'"),
        ('with DAG("\\x1b[2J"): EmptyOperator(task_id="a")', "dag_id must be a name without spaces or slashes"),
        ('with DAG("\\udcff"): EmptyOperator(task_id="a")', "dag_id must be a name without spaces or slashes"),
        ('with DAG("a\\0b"): EmptyOperator(task_id="a")', "dag_id must be a name without spaces or slashes"),
        ('with DAG(5): EmptyOperator(task_id="a")', "dag_id must be a name without spaces or slashes, not 5"),
        ('with DAG("x"): EmptyOperator(task_id="a", pool="p" * 300)', "pool must be at most 220 bytes long, not 300"),
        ('with DAG("x"): EmptyOperator(task_id="a", pool="p\\n")', "pool must be text in one line, not 'p\\n'"),
        ('with DAG("x", tags=["t\\x1b"]): EmptyOperator(task_id="a")', "tags must be text in one line"),
        ('with DAG("x", description="d" * 20_000): EmptyOperator(task_id="a")', "at most 10,000 characters long"),
        ('with DAG("x" * 5_000_000): EmptyOperator(task_id="a")', "dag_id must be at most 220 bytes long"),
        ('raise ValueError("y" * 5_000_000 + "\\udcff\\0")', "ValueError: yyy"),
        ('raise ValueError("\\x1b[2J \\udcff\\0")', "ValueError: \\x1b[2J \\udcff\\x00"),
    ],
)
def test_what_cannot_be_a_name_is_a_mistake_in_one_line(load, body: str, words: str) -> None:
    loaded = load(body)
    assert loaded.specs == {}
    assert any(words in mistake.message for mistake in loaded.mistakes), loaded.mistakes
    for mistake in loaded.mistakes:
        assert len(mistake.message) <= LONGEST_LINE and is_storable(mistake.message)
        assert len(mistake.message.splitlines()) == 1


@given(texts, texts, texts, texts)
@example("a" * 220, "..", "\U0001f600" * 55, "")
def test_any_texts_make_a_dag_that_can_be_stored_or_mistakes(one: str, other: str, third: str, more: str) -> None:
    DAG.collect()
    with DAG(one, description=more, tags=[third, more]) as dag:
        odd = type("Odd", (EmptyOperator,), {"execute": lambda self, context: None})
        with suppress(ValueError):
            odd.__name__ = third  # where Python lets it
        odd(task_id=other, pool=third)
    DAG.collect()
    spec = compile_dag(dag, os.fsdecode(b"caf\xe9.py"), "hash")
    if spec is None:
        assert dag.mistakes
        return
    text = spec_text(spec)
    assert spec_hash(text) and "\0" not in text
    assert spec_from(text) == spec


def test_weights_summed_up_stay_what_a_metastore_takes(load) -> None:
    spec = load(
        """
        with DAG("x", default_args={"priority_weight": 2**31 - 1}):
            EmptyOperator(task_id="a") >> EmptyOperator(task_id="b")
        """
    ).specs["x"]
    assert [task.priority_weight for task in spec.tasks] == [2**31 - 1, 2**31 - 1]


def test_no_description_and_no_tags_may_be_written_as_none(load) -> None:
    spec = load('with DAG("x", description=None, tags=None): EmptyOperator(task_id="a")').specs["x"]
    assert (spec.description, spec.tags) == ("", ())


def test_a_dag_id_twice_is_a_mistake_of_the_second(load) -> None:
    load('with DAG("same"): EmptyOperator(task_id="a")', "one.py")
    loaded = load('with DAG("same"): EmptyOperator(task_id="b")', "two.py")
    assert [task.task_id for task in loaded.specs["same"].tasks] == ["a"]
    assert "duplicate dag_id 'same'" in str(loaded.mistakes[0])


def test_lists_chains_and_crosses(load) -> None:
    spec = load(
        """
        with DAG("x"):
            a, b, c, d, e, f = (EmptyOperator(task_id=name) for name in "abcdef")
            chain(a, [b, c], [d, e], f)
            cross_downstream([b], [e])
        """
    ).specs["x"]
    assert {task.task_id: task.upstream for task in spec.tasks} == {
        "a": (),
        "b": ("a",),
        "c": ("a",),
        "d": ("b",),
        "e": ("b", "c"),
        "f": ("d", "e"),
    }


def test_default_args_and_arguments(load) -> None:
    spec = load(
        """
        with DAG("x", default_args={"retries": 3, "retry_delay": 5, "owner": "me"}, timezone="Europe/Berlin",
                 start_date=datetime(2024, 1, 1), schedule="@daily") as d:
            EmptyOperator(task_id="a")
            EmptyOperator(task_id="b", retries=1, wait_for_downstream=True, trigger_rule="none_failed_or_skipped")
        """
    ).specs["x"]
    assert (spec.by_id["a"].retries, spec.by_id["b"].retries) == (3, 1)
    assert spec.by_id["a"].retry_delay.total_seconds() == 5
    assert spec.by_id["b"].depends_on_past
    assert spec.by_id["b"].trigger_rule is TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS
    assert spec.start_date.isoformat() == "2023-12-31T23:00:00+00:00"


def test_tasks_from_functions_depend_on_what_they_are_given(load) -> None:
    loaded = load(
        """
        @dag(schedule="@daily")
        def flow():
            "What it does"
            @task
            def one(): return {"x": 1}
            @task(retries=2)
            def two(x, ys): return x
            @task.branch
            def way(): return "end"
            first = one()
            second = two(first["x"], [first, 3])
            end = EmptyOperator(task_id="end")
            second >> way() >> end
            one()
        flow()
        """
    )
    spec = loaded.specs["flow"]
    assert loaded.mistakes == ()
    assert spec.description == "What it does"
    assert spec.by_id["two"].upstream == ("one",)
    assert spec.by_id["way"].decides is BranchKind.BRANCH
    assert "one__1" in spec.by_id


def test_weights_sum_up_by_their_rule(load) -> None:
    spec = load(
        """
        with DAG("x"):
            a = EmptyOperator(task_id="a", priority_weight=1)
            b = EmptyOperator(task_id="b", priority_weight=10, weight_rule="upstream")
            c = EmptyOperator(task_id="c", priority_weight=100, weight_rule="absolute")
            a >> b >> c
        """
    ).specs["x"]
    assert {task.task_id: task.priority_weight for task in spec.tasks} == {"a": 111, "b": 11, "c": 100}


def test_a_module_beside_the_file_is_found(load, tmp_path: Path) -> None:
    (tmp_path / "_beside_it.py").write_text("NAME = 'from_beside'\n")
    assert list(load("from _beside_it import NAME\nwith DAG(NAME): EmptyOperator(task_id='a')").specs) == [
        "from_beside"
    ]


def test_a_folder_that_is_not_there_is_reported(tmp_path: Path) -> None:
    assert "no such file or folder" in str(load_dags(tmp_path / "nowhere").mistakes[0])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"bash_command": 7}, "bash_command must be text, not 7"),
        ({"bash_command": "true", "env": ["A"]}, "env must be a dict of texts, not ['A']"),
        ({"bash_command": "true", "env": {"A": 1}}, "env must be a dict of texts (and no name with = in it)"),
        ({"bash_command": "true", "env": {"A=B": "1"}}, "env must be a dict of texts (and no name with = in it)"),
        ({"bash_command": "true", "cwd": 3}, "cwd must be a folder's path, not 3"),
        ({"bash_command": "true", "skip_on_exit_code": "99"}, "skip_on_exit_code must be a number, or several"),
    ],
)
def test_a_bash_task_that_cannot_run_is_a_mistake(arguments: dict[str, Any], said: str) -> None:
    with DAG("d") as dag:
        BashOperator(task_id="t", **arguments)
    (mistake,) = dag.mistakes
    assert said in mistake.message
