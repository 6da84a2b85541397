"""Templates: Airflow's variables and macros, files beside the DAG file, and mistakes said in one line."""

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tailrace.authoring.dags.dag import BaseOperator
from tailrace.authoring.operators.shipped import BashOperator, PythonOperator
from tailrace.authoring.templates import environment as templates
from tailrace.authoring.templates.fields import TemplateSetup
from tailrace.authoring.templates.rendering import prepare, render_fields
from tailrace.errors import RenderingFailed
from tests.unit.execution.builders import context_of, dag, nothing, run


class Echo(BaseOperator):
    """Returns its one templated field."""

    template_fields = ("value",)
    template_ext = (".sql",)

    def __init__(self, *, value: Any, **arguments: Any) -> None:
        super().__init__(task_id="echo", **arguments)
        self.value = value

    def execute(self, context: Mapping[str, Any]) -> Any:
        return self.value


def rendered(value: Any, *, pull: Any = nothing, **dag_arguments: Any) -> Any:
    with dag(**dag_arguments):
        task = Echo(value=value)
    render_fields(task, context_of(task, pull))
    return task.value


@pytest.mark.parametrize("value", ["{{ nothing }}", ["{{ [1, params.nothing] }}"], "{{ {'a': params.nothing} }}"])
def test_what_is_undefined_is_no_value_of_its_own_kind(value: Any) -> None:
    with pytest.raises(RenderingFailed, match="nothing"):
        rendered(value, render_template_as_native_obj=True)


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ '{{}}' }}", "{{}}"),
        ("{{ '{[]: 1}' }}", "{[]: 1}"),
        ("{{ [1, 2] }}", [1, 2]),
        ("{{ 1 }}{{ 2 }}", 12),
        ("{{ none }}", None),
    ],
)
def test_a_text_that_only_looks_like_a_value_is_a_text(template: str, value: Any) -> None:
    assert rendered(template, render_template_as_native_obj=True) == value


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ ds }} {{ ds_nodash }}", "2016-01-31 20160131"),
        ("{{ ts }}", "2016-01-31T00:00:00+00:00"),
        ("{{ ts_nodash }} {{ ts_nodash_with_tz }}", "20160131T000000 20160131T000000+0000"),
        ("{{ logical_date.year }} {{ execution_date.month }}", "2016 1"),
        ("{{ data_interval_start | ds }} {{ data_interval_end | ds_nodash }}", "2016-01-31 20160201"),
        ("{{ run_id }}", "backfill__2016-01-31T00:00:00+00:00"),
        ("{{ task_instance_key_str }}", "example__echo__20160131"),
        ("{{ dag.dag_id }} {{ task.task_id }} {{ ti.task_id }}", "example echo echo"),
        ("{{ task_instance.try_number }} {{ ti.max_tries }}", "2 3"),
        ("{{ dag_run.conf['region'] }} {{ params.region }}", "north north"),
        ("{{ dag_run.run_type }} {{ dag_run.logical_date | ts }}", "backfill 2016-01-31T00:00:00+00:00"),
        ("{{ macros.ds_add(ds, 1) }} {{ macros.ds_add(ds, -31) }}", "2016-02-01 2015-12-31"),
        ("{{ macros.ds_format(ds, '%Y-%m-%d', '%d.%m.%y') }}", "31.01.16"),
        ("{{ (logical_date + macros.timedelta(days=1)).day }}", "1"),
        ("{{ macros.datetime(2020, 2, 3) | ds }}", "2020-02-03"),
        ("{{ prev_data_interval_start_success }}", "None"),
        ("{{ ti.try_token }}", "example/backfill__2016-01-31T00:00:00+00:00/echo/-1/2#5"),
        ("{% for n in range(2) %}{{ n }}{% endfor %}", "01"),
        ("no template", "no template"),
    ],
)
def test_variables_and_macros(template: str, text: str) -> None:
    assert rendered(template) == text


def test_templates_deep_inside_a_value() -> None:
    class Pair(NamedTuple):
        left: str
        right: int

    value = {"list": ["{{ ds }}", 5], "tuple": ("{{ run_id }}",), "named": Pair("{{ ds }}", 1), "set": {1}}
    assert rendered(value) == {
        "list": ["2016-01-31", 5],
        "tuple": ("backfill__2016-01-31T00:00:00+00:00",),
        "named": Pair("2016-01-31", 1),
        "set": {1},
    }


def test_macros_of_the_author() -> None:
    assert rendered("{{ double(4) }}", user_defined_macros={"double": lambda n: 2 * n}) == "8"


def test_a_template_pulls_xcoms() -> None:
    def pull(dag_id: str, run_id: str, task_ids: tuple[str, ...], key: str, map_index: int | None) -> list[Any]:
        assert (dag_id, key, map_index) == ("example", "return_value", None)
        return [[task_id, -1, f"value of {task_id}"] for task_id in task_ids]

    assert rendered("{{ ti.xcom_pull('extract') }}", pull=pull) == "value of extract"


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{{ nonsense }}", "'nonsense' is undefined"),
        ("{{ dag_run.conf['absent'] }}", "has no attribute 'absent'"),
        (
            "{{ params.table }}",
            "the run's conf has no attribute 'table'; --conf '{\"table\": …}' gives it",
        ),
        ("{{ conf.table.name }}", "the run's conf has no attribute 'table'; --conf "),
        ("{{ params['new\nline'] }}", "--conf '{\"new\\nline\": …}' gives it"),
        ("{{ {}.table }}", "'dict object' has no attribute 'table'"),
        ("{{ ds", "unexpected end of template"),
        ("{{ var.value.key }}", "there is no Variable 'key'; set it with `tailrace variables set key VALUE`"),
        ("{{ conn.db }}", "there is no Connection 'db'; set it with `tailrace connections set db URI`"),
        ("absent.sql", "no template file absent.sql in "),
    ],
)
def test_a_mistake_is_one_line_that_names_field_and_task(template: str, problem: str) -> None:
    with pytest.raises(RenderingFailed) as failed:
        rendered(template)
    assert str(failed.value).startswith("value of echo: ")
    assert problem in str(failed.value)
    assert "\n" not in str(failed.value)


def test_what_conf_may_lack_has_a_default() -> None:
    assert rendered("{{ params.table | default('x') }}{{ 'y' if params.table is defined else 'n' }}") == "xn"


def test_a_mistake_fails_the_try_without_a_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    with dag():
        outcome = run(BashOperator(task_id="shell", bash_command="echo {{ nonsense }}"))
    assert (outcome["kind"], outcome["error"]) == ("failed", "bash_command of shell: 'nonsense' is undefined")
    assert "Traceback" not in capfd.readouterr().err


def test_a_file_beside_the_dag_file(tmp_path: Path) -> None:
    (tmp_path / "query.sql").write_text("SELECT '{{ ds }}'\n{% include 'part.sql' %}")
    (tmp_path / "part.sql").write_text("-- part")
    with dag():
        task = Echo(value="query.sql")
    task.dag.folder = tmp_path
    prepare(task)
    render_fields(task, context_of(task))
    assert task.value == "SELECT '2016-01-31'\n-- part"


def test_a_file_that_changed_since_it_was_prepared_is_read_anew(tmp_path: Path) -> None:
    with dag():
        task = Echo(value="query.sql")
    task.dag.folder = tmp_path
    for text, time in (("SELECT 1", 1), ("SELECT 2", 2)):
        (tmp_path / "query.sql").write_text(text)
        os.utime(tmp_path / "query.sql", (time, time))
        if time == 1:
            prepare(task)
        seen = copy.copy(task)
        render_fields(seen, context_of(seen))
        assert seen.value == text


def test_preparing_a_wrong_template_says_nothing_yet() -> None:
    with dag():
        task = Echo(value=["{{ ds", "absent.sql", 5, {"a": "{{ ds }}"}])
    prepare(task)
    with pytest.raises(RenderingFailed):
        render_fields(task, context_of(task))


def test_an_output_in_a_field_becomes_its_value() -> None:
    with dag():
        first = PythonOperator(task_id="first", python_callable=lambda: 1)
        task = Echo(value=[first.output, "{{ ds }}"])
    render_fields(task, context_of(task, lambda *query: [["first", -1, {"rows": 3}]]))
    assert task.value == [{"rows": 3}, "2016-01-31"]


@pytest.mark.parametrize(
    "text, named",
    [
        ("{{ var.value.a }} {{ var.json.b.c }} {{ conn.d.host }}", {"variable a", "variable b", "connection d"}),
        ("{{ var.value['a b'] }} {{ conn['c'] }}", {"variable a b", "connection c"}),
        ("{{ var.value.get('a') }} {{ conn.get('c').host }}", {"variable a", "connection c"}),
        ("{{ var.value.get('a', 'x') }} {{ var.json.get(ds) }} {{ conn.get('c', None) }}", set()),
        ("{% if var.value.a %}{{ other.value.b }}{% endif %}", {"variable a"}),
        ("{{ broken", set()),
        ("{{ conn }} {{ var.value }} {{ value.a }}", set()),
    ],
)
def test_a_template_says_which_secrets_it_names(text: str, named: set[str]) -> None:
    found = templates.secrets_in(TemplateSetup(), text, is_file=False)
    assert {f"{kind} {name}" for kind, name in found} == named
