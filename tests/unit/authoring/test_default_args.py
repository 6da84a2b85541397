"""default_args: each argument reaches every operator that takes it, the DAG's own are the DAG's, nothing is dropped."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace import (
    DAG,
    BashOperator,
    BranchPythonOperator,
    EmptyOperator,
    ExceptionRetryPolicy,
    PythonOperator,
    RetryRule,
    ShortCircuitOperator,
)
from tailrace.authoring.arguments.dag_arguments import DAG_ARGUMENTS, UNSUPPORTED_DAG_ARGUMENTS
from tailrace.authoring.arguments.task_arguments import TASK_ARGUMENTS
from tailrace.authoring.dags.dag import UNSUPPORTED_TASK_ARGUMENTS, BaseOperator, names_of
from tailrace.model.plain_text import visible_line
from tests.unit.authoring.conftest import Load, noted, said

SHIPPED = (EmptyOperator, BashOperator, PythonOperator, BranchPythonOperator, ShortCircuitOperator)

#: A value for each argument of a shipped operator that is none of its defaults.
OTHER: dict[str, Any] = {
    "bash_command": "echo other",
    "env": {"A": "1"},
    "append_env": True,
    "cwd": "/other",
    "skip_on_exit_code": 7,
    "python_callable": dir,
    "op_args": [1],
    "op_kwargs": {"x": 1},
    "templates_dict": {"t": "1"},
    "multiple_outputs": True,
    "ignore_downstream_trigger_rules": False,
    "retries": 3,
    "retry_delay": 7,
    "retry_exponential_backoff": True,
    "max_retry_delay": 9,
    "execution_timeout": 11,
    "retry_policy": ExceptionRetryPolicy([RetryRule(ValueError)]),
    "depends_on_past": True,
    "wait_for_downstream": True,
    "trigger_rule": "all_done",
    "pool": "other",
    "pool_slots": 2,
    "priority_weight": 5,
    "weight_rule": "absolute",
    "max_active_tis_per_dag": 4,
    "max_active_tis_per_dagrun": 4,
    "render_template_as_native_obj": True,
    "map_index_template": "{{ ds }}",
    "do_xcom_push": False,
    "email": "me@x, you@x",
    "email_on_failure": False,
    "email_on_retry": False,
    "on_execute_callback": print,
    "on_failure_callback": [print],
    "on_retry_callback": (print,),
    "on_skipped_callback": print,
    "on_success_callback": [print, repr],
    "owner": "me",
    "doc_md": "text",
}
NEEDED = {"bash_command": "true", "python_callable": print}


def made(operator: type[BaseOperator], default_args: dict[str, Any], **given: Any) -> BaseOperator:
    needed = {name: NEEDED[name] for name in NEEDED.keys() & names_of(operator) if name not in default_args}
    with DAG("d", default_args=default_args) as dag:
        task = operator(task_id="t", **{**needed, **given})
    assert dag.mistakes == []
    return task


def described(task: BaseOperator) -> dict[str, Any]:
    left_out = ("dag", "task_group", "written_at", "_from_defaults", "_described")
    return {name: value for name, value in vars(task).items() if name not in left_out}


@pytest.mark.parametrize(
    ("operator", "name"),
    [(operator, name) for operator in SHIPPED for name in sorted(names_of(operator) - {"task_id", "params"})],
)
def test_each_argument_of_each_operator_may_be_in_default_args(operator: type[BaseOperator], name: str) -> None:
    """newcomer 01: env, cwd and append_env of bash were dropped."""
    by_default, by_hand = made(operator, {name: OTHER[name]}), made(operator, {}, **{name: OTHER[name]})
    assert described(by_default) == described(by_hand) != described(made(operator, {}))


def test_what_a_task_is_given_itself_wins() -> None:
    task = made(BashOperator, {"env": {"A": "1"}, "cwd": "/tmp", "retries": 3}, env=None, retries=0)
    assert (task.env, task.cwd, task.retries) == (None, "/tmp", 0)


def test_the_names_of_an_operator_are_those_it_takes() -> None:
    assert "env" in names_of(BashOperator) - names_of(PythonOperator)
    assert {"task_id", "bash_command", "retries"} <= names_of(BashOperator)
    assert not names_of(BashOperator) & {"self", "dag", "arguments"}


def test_an_operator_of_the_author_takes_what_it_names(load: Load) -> None:
    """As in Airflow: each class of a chain has a part of its own; what one hands on to the next is given."""
    loaded = load(
        """
        seen = {}
        class Load(BashOperator):
            def __init__(self, table, *, mode="append", env=None, **more):
                super().__init__(bash_command=f"load {table} {mode}", env={"T": table}, **more)
        class Twice(Load):
            def __init__(self, *, times=1, **more):
                super().__init__("orders", **more)
                self.times = times
        with DAG("x", default_args={"table": "t", "mode": "replace", "times": 2, "cwd": "/tmp", "retries": 1,
                                    "env": {"A": "1"}}):
            a = Load(task_id="a")
            b = Load("other", task_id="b", mode="merge", cwd=None)
            c = Twice(task_id="c")
        """
    )
    assert (said(loaded), noted(loaded)) == ([], [])
    a, b, c = loaded.dags["x"].tasks
    assert [task.bash_command for task in (a, b, c)] == ["load t replace", "load other merge", "load orders replace"]
    assert [task.env for task in (a, b, c)] == [{"T": "t"}, {"T": "other"}, {"T": "orders"}]
    assert [task.cwd for task in (a, b, c)] == ["/tmp", None, "/tmp"]
    assert (c.times, c.retries) == (2, 1)


def test_a_task_of_an_own_class_is_where_it_is_written(load: Load) -> None:
    loaded = load(
        """
        class Load(BashOperator):
            def __init__(self, **more):
                super().__init__(bash_command="true", **more)
        with DAG("x"):
            Load(task_id="a", retries=-1)
        """
    )
    assert [mistake.line - loaded.mistakes[0].line for mistake in loaded.mistakes] == [0]
    assert str(loaded.mistakes[0]).endswith(":10: task a: retries must be a whole number, at least 0, not -1")


def test_functions_take_them_too(load: Load) -> None:
    loaded = load(
        """
        with DAG("x", default_args={"env": {"A": "1"}, "op_kwargs": {"x": 1}, "retries": 2}):
            @task.bash
            def says(): return "echo $A"
            @task
            def adds(x=0): return x
            says(); adds(5)
        """
    )
    assert (said(loaded), noted(loaded)) == ([], ["no task of this DAG takes op_kwargs of default_args"])
    says, adds = loaded.dags["x"].tasks
    assert (says.env, says.retries, adds.op_args, adds.op_kwargs) == ({"A": "1"}, 2, [5], {})


# --- the DAG's own -----------------------------------------------------------------------------------------


def test_the_dates_in_them_are_the_dags(load: Load) -> None:
    """newcomer 17: a start_date in default_args (38 % of real files) was dropped, and catchup with it."""
    spec = load(
        """
        with DAG("x", schedule="@hourly", catchup=True, default_args={
            "start_date": datetime(2026, 11, 1, tzinfo=ZoneInfo("Europe/Berlin")), "end_date": datetime(2026, 12, 1)}):
            EmptyOperator(task_id="a")
        """
    ).specs["x"]
    assert spec.start_date == datetime(2026, 10, 31, 23, tzinfo=UTC)
    assert spec.end_date == datetime(2026, 11, 30, 23, tzinfo=UTC)
    assert (spec.schedule.timezone, spec.catchup) == ("Europe/Berlin", True)


@pytest.mark.parametrize(
    ("dates", "mistake", "note"),
    [
        ("start_date=datetime(2024, 2, 1), default_args={'start_date': datetime(2024, 2, 1)}", "", ""),
        ("start_date=datetime(2024, 2, 1), default_args={'start_date': datetime(2024, 1, 1)}", "", "start_date in"),
        ("start_date=datetime(2024, 2, 1), default_args={'start_date': datetime(2024, 3, 1)}", "is not the DAG's", ""),
        ("end_date=datetime(2024, 2, 1), default_args={'end_date': datetime(2024, 1, 1)}", "is not the DAG's", ""),
        ("end_date=datetime(2024, 2, 1), default_args={'end_date': datetime(2024, 3, 1)}", "", "end_date in"),
        (
            "end_date=datetime(2024, 2, 1), default_args={'start_date': datetime(2024, 3, 1)}",
            "is before start_date",
            "",
        ),
        ("default_args={'start_date': '1.1.2024'}", "start_date must be a datetime, not '1.1.2024'", ""),
    ],
)
def test_dates_given_twice_are_one_or_a_mistake(load: Load, dates: str, mistake: str, note: str) -> None:
    loaded = load(f'with DAG("x", {dates}): EmptyOperator(task_id="a")')
    assert [mistake in message for message in said(loaded)] == ([True] if mistake else [])
    assert [note in message for message in noted(loaded)] == ([True] if note else [])


# --- what nobody takes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("default_args", "mistake", "note"),
    [
        ({"owner": "me", "queue": "q"}, "", "owner, queue: kept, and without effect in Tailrace"),
        ({"email": ["me@x"], "email_on_failure": False, "email_on_retry": None}, "", ""),
        ({"email": ["me"], "email_on_failure": False}, "email must be e-mail addresses, not 'me'", ""),
        ({"email_on_failure": "yes"}, "email_on_failure must be True or False, not 'yes'", ""),
        ({"email_on_failure": False, "email_on_retry": False, "sla": None, "email": None}, "", ""),
        ({"pre_execute": print}, "pre_execute is not called yet; leave it out", ""),
        ({"on_failure_callback": None, "on_success_callback": []}, "", ""),
        ({"params": {"a": 1}}, "", ""),
        ({"retires": 2}, "default_args has no argument 'retires'; did you mean 'retries'?", ""),
        ({"append_en": True}, "default_args has no argument 'append_en'; did you mean 'append_env'", ""),
        ({"catchup": True}, "catchup is the DAG's: give it to DAG(…)", ""),
        ({"schedule_interval": "@daily"}, "schedule_interval is the DAG's", ""),
        ({"catchup": False}, "", "catchup in default_args: kept, and without effect"),
        ({"project": "p", "op_kwargs": {}}, "", "no task of this DAG takes project, op_kwargs of default_args"),
        ({"task_id": "t9", "dag": None}, "", "no task of this DAG takes task_id, dag of default_args"),
        ({"retries": "2"}, "default_args: retries must be a whole number, at least 0, not '2'", ""),
        ({"env": 5}, "default_args: env must be a dict of texts, not 5", ""),
        ({7: 1}, "default_args must be a dict with texts as keys, not 7", ""),
    ],
)
def test_what_nobody_takes_is_reported_once(default_args: dict[Any, Any], mistake: str, note: str) -> None:
    from tailrace.authoring.compiling.checking import check

    with DAG("d", default_args=default_args) as dag:
        for number in range(3):
            BashOperator(task_id=f"t{number}", bash_command="true")
    check(dag)
    assert [mistake in each.message for each in dag.mistakes] == ([True] if mistake else []), dag.mistakes
    assert [note in each.message for each in dag.notes] == ([True] if note and not mistake else []) or mistake


@given(st.dictionaries(st.text(max_size=8), st.none() | st.integers() | st.text(max_size=5), max_size=4))
def test_no_name_is_dropped_silently(default_args: dict[str, Any]) -> None:
    """Taken by a task, or told of."""
    from tailrace.authoring.compiling.checking import check

    with DAG("d", default_args=default_args) as dag:
        BashOperator(task_id="t", bash_command="true")
        PythonOperator(task_id="u", python_callable=print)
    check(dag)
    told = " ".join(each.message for each in (*dag.mistakes, *dag.notes))
    taken = dag.task_group.defaults_taken | {"start_date", "end_date"}
    asks_nothing = {
        name for name, value in default_args.items() if name in UNSUPPORTED_TASK_ARGUMENTS and value is None
    }
    assert all(visible_line(name) in told or repr(name) in told for name in default_args.keys() - taken - asks_nothing)


# --- arguments of Airflow's that are not there -------------------------------------------------------------

#: Those of Airflow 2.11 and 3.3: of BaseOperator, and of DAG.
AIRFLOW_TASK = """
task_id owner email email_on_retry email_on_failure retries retry_delay retry_exponential_backoff max_retry_delay
retry_policy start_date end_date depends_on_past ignore_first_depends_on_past wait_for_past_depends_before_skipping
wait_for_downstream dag params default_args priority_weight weight_rule queue pool pool_slots sla execution_timeout
on_execute_callback on_failure_callback on_success_callback on_retry_callback on_skipped_callback pre_execute
post_execute trigger_rule resources run_as_user task_concurrency map_index_template max_active_tis_per_dag
max_active_tis_per_dagrun executor executor_config do_xcom_push multiple_outputs inlets outlets task_group doc doc_md
doc_json doc_yaml doc_rst task_display_name logger_name allow_nested_operators render_template_as_native_obj
bash_command env append_env output_encoding skip_on_exit_code cwd output_processor python_callable op_args op_kwargs
templates_dict templates_exts show_return_value_in_logs ignore_downstream_trigger_rules
"""
AIRFLOW_DAG = """
dag_id description schedule schedule_interval timetable start_date end_date full_filepath template_searchpath
template_undefined user_defined_macros user_defined_filters default_args concurrency max_active_tasks max_active_runs
max_consecutive_failed_dag_runs dagrun_timeout sla_miss_callback default_view orientation catchup on_success_callback
on_failure_callback doc_md params access_control is_paused_upon_creation jinja_environment_kwargs
render_template_as_native_obj tags owner_links auto_register fail_stop dag_display_name deadline allowed_run_types
fail_fast disable_bundle_versioning rerun_with_latest_version
"""


def test_every_argument_of_airflows_is_there_or_in_the_table() -> None:
    ours = set().union(*map(names_of, SHIPPED)) | {"dag", "task_group"}
    assert set(AIRFLOW_TASK.split()) - ours - UNSUPPORTED_TASK_ARGUMENTS.keys() == set()
    of_dag = DAG_ARGUMENTS
    assert set(AIRFLOW_DAG.split()) - {"dag_id"} - of_dag.keys() - UNSUPPORTED_DAG_ARGUMENTS.keys() == set()
    documentation = {"owner", "doc_md"}
    assert (
        UNSUPPORTED_TASK_ARGUMENTS.keys() & ours == documentation
        and UNSUPPORTED_DAG_ARGUMENTS.keys() & of_dag.keys() == {"doc_md"}
    )
    assert TASK_ARGUMENTS.keys() & UNSUPPORTED_TASK_ARGUMENTS.keys() == documentation


@pytest.mark.parametrize("name", sorted(UNSUPPORTED_TASK_ARGUMENTS))
def test_a_task_argument_that_is_not_there_is_a_mistake_or_a_note(name: str) -> None:
    for value, asks in ((object(), True), *((value, False) for value in UNSUPPORTED_TASK_ARGUMENTS[name].nothing)):
        value = "x" if name in TASK_ARGUMENTS and asks else value
        with DAG("d") as dag:
            EmptyOperator(task_id="t", **{name: value})
        assert len(dag.mistakes) == (1 if asks and UNSUPPORTED_TASK_ARGUMENTS[name].instead else 0)
        assert dag.without_effect == ({name} if asks and not UNSUPPORTED_TASK_ARGUMENTS[name].instead else set())
        assert all(f"task t: {name} " in mistake.message for mistake in dag.mistakes)


@pytest.mark.parametrize("name", sorted(UNSUPPORTED_DAG_ARGUMENTS))
def test_a_dag_argument_that_is_not_there_is_a_mistake_or_a_note(name: str) -> None:
    for value, asks in ((object(), True), *((value, False) for value in UNSUPPORTED_DAG_ARGUMENTS[name].nothing)):
        value = "x" if name == "doc_md" and asks else value
        dag = DAG("d", **{name: value})
        assert len(dag.mistakes) == (1 if asks and UNSUPPORTED_DAG_ARGUMENTS[name].instead else 0)
        assert dag.without_effect == ({name} if asks and not UNSUPPORTED_DAG_ARGUMENTS[name].instead else set())


def test_notes_are_of_dags_that_load(load: Load) -> None:
    load('with DAG("bad", default_args={"owner": "me"}, catchup="no"): EmptyOperator(task_id="a")', "bad.py")
    loaded = load('with DAG("good", default_args={"owner": "me"}): EmptyOperator(task_id="a")', "good.py")
    assert [note.dag_id for note in loaded.notes] == ["good"]
    assert str(loaded.notes[0]).endswith("good.py:6: note: owner: kept, and without effect in Tailrace")


def test_an_operator_that_never_calls_its_base_is_a_mistake_and_not_left_out(load: Load) -> None:
    loaded = load("""
        class Base(BaseOperator):
            def __init__(self, **arguments):
                super().__init__(**arguments)
                self.mine = 1
        class Forgets(Base):
            def __init__(self, **arguments):
                self.arguments = arguments
        class Inherits(Forgets):
            pass
        with DAG("d"):
            Base(task_id="right")
            Inherits(task_id="wrong")
        """)
    assert said(loaded) == ["Inherits.__init__ does not call super().__init__(**arguments), which makes a task of it"]
