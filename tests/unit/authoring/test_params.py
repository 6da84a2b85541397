"""Params: values by name with a schema, merged with a run's conf."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace import DAG, EmptyOperator, Param
from tailrace.authoring.arguments import bounded
from tailrace.authoring.arguments.param_schemas import fault_of_value, faults_in
from tailrace.authoring.compiling.dag_specs import compile_dag
from tailrace.errors import CommandError
from tailrace.model.spec import DagSpec, ParamSpec
from tailrace.service.confs import canonical_conf, require_params

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


def compiled(params: Any, schedule: str | None = None, of_task: Any = None, **more: Any) -> DagSpec:
    dag = DAG("d", params=params, schedule=schedule, **more)
    EmptyOperator(task_id="t", dag=dag, params=of_task)
    spec = compile_dag(dag, "d.py", "hash")
    assert spec is not None, dag.mistakes
    return spec


def mistakes(params: Any, **more: Any) -> list[str]:
    dag = DAG("d", params=params, **more)
    EmptyOperator(task_id="t", dag=dag)
    compile_dag(dag, "d.py", "hash")
    return [each.message for each in dag.mistakes]


@given(st.dictionaries(names, json_values, max_size=5))
def test_plain_values_are_their_own_defaults(values: dict[str, Any]) -> None:
    dag = DAG("d", params=values)
    assert dag.mistakes == []
    assert dict(dag.params) == json.loads(json.dumps(values))


@given(json_values)
def test_any_value_fits_no_schema_and_its_own_const(value: Any) -> None:
    assert fault_of_value(value, {"const": value}) is None
    assert faults_in([ParamSpec("x")], {"x": value}) == []


def test_whoever_changes_what_was_given_changes_no_param() -> None:
    given_list = [1]
    dag = DAG("d", params={"x": given_list})
    given_list.append(2)
    dag.params["x"].append(3)
    assert dag.params["x"] == [1]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"x": Param(5, type="string")}, "params 'x' has a default that does not fit: 5 is not of type 'string'"),
        ({"x": Param(None, type="string")}, "params 'x' has a default that does not fit: None is not of type 'string'"),
        ({"x": Param(5, type="strnig")}, "params 'x' has a schema that is none:"),
        ({"x": object()}, "params 'x' must be JSON:"),
        ({"x": Param("31.01.2024", format="date")}, "params 'x' has a default that does not fit: '31.01.2024' is not"),
        ({1: 2}, "params must have texts as keys, not 1"),
        ([1], "params must be a dict, not [1]"),
        ({"x": Param(1, **{"$ref": "https://example.org/s"})}, "its schema cannot be used: Unresolvable: https://exam"),
    ],
)
def test_what_cannot_be_is_a_mistake_of_one_line(params: Any, said: str) -> None:
    (mistake,) = mistakes(params)
    assert said in mistake and "\n" not in mistake


def test_a_scheduled_run_needs_a_default() -> None:
    (mistake,) = mistakes({"x": Param(type="integer")}, schedule="@daily")
    assert mistake == "param 'x' has no default, and nobody gives scheduled runs one; give it here"
    assert mistakes({"x": Param(type="integer")}) == []


def test_params_of_default_args_are_the_dags_and_a_tasks_own_are_its() -> None:
    spec = compiled({"a": 1}, default_args={"params": {"a": 2, "b": 3}}, of_task={"c": 4})
    assert spec.params == (ParamSpec("b", "3"), ParamSpec("a", "1"), ParamSpec("c", "4", task_id="t"))


NUMBER = Param(1, type="integer", minimum=0)


@pytest.mark.parametrize(
    ("params", "conf", "said"),
    [
        ({"n": NUMBER}, None, None),
        ({"n": NUMBER}, '{"n": 2, "other": "x"}', None),
        ({"n": NUMBER}, '{"n": -1}', "a run of d needs other params: param 'n': -1 is less than the minimum of 0"),
        ({"n": NUMBER}, '{"n": null}', "a run of d needs other params: param 'n': None is not of type 'integer'"),
        ({"n": Param({"k": [1]}, type="object", properties={"k": {"items": {"type": "integer"}}})},
         '{"n": {"k": ["x"]}}', "param 'n': ['k'][0]: 'x' is not of type 'integer'"),
        ({"n": Param(), "m": Param()}, None,
         "param 'n' has no default: give it with --conf '{\"n\": …}' (and 1 more)"),
        ({"number": Param()}, '{"numbr": 1}', "give it with --conf '{\"number\": …}'; did you mean numbr?"),
        ({"day": Param("2024-01-31", format="date")}, '{"day": "2024-02-30"}', "'2024-02-30' is not a 'date'"),
        ({"at": Param("2024-01-31T00:00:00Z", format="date-time")}, '{"at": "tomorrow"}', "is not a 'date-time'"),
    ],
)  # fmt: skip
def test_a_conf_is_checked_before_anything_is_written(params: Any, conf: str | None, said: str | None) -> None:
    spec = compiled(params)
    if said is None:
        require_params(spec, canonical_conf(conf))
        return
    with pytest.raises(CommandError) as refused:
        require_params(spec, canonical_conf(conf))
    assert said in str(refused.value) and "\n" not in str(refused.value)


#: Each doubles its time with each letter: none would be checked to its end this year.
BACKTRACKING: tuple[dict[str, Any], ...] = (
    {"type": "string", "pattern": "^(a+)+$"},
    {"anyOf": [{"pattern": "^(a|a)*$"}]},
    {"patternProperties": {"^(a+)+$": {}}},
    {"patternProperties": {"^(a+)+$": {}}, "additionalProperties": False},
)


@pytest.mark.parametrize(
    ("schema", "in_thread"), [*((each, False) for each in BACKTRACKING), (BACKTRACKING[0], True)], ids=str
)
def test_a_pattern_that_backtracks_for_ever_is_given_up(
    schema: dict[str, Any], in_thread: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "SECONDS", 0.05)
    text: Any = "a" * 200 + "!"
    value = {text: 1} if "patternProperties" in schema else text
    handler = signal.getsignal(signal.SIGVTALRM)
    if in_thread:
        with ThreadPoolExecutor(1) as threads:
            fault = threads.submit(fault_of_value, value, schema).result(timeout=60)
    else:
        fault = fault_of_value(value, schema)
    assert fault is not None and "pattern was not checked to its end within" in fault and "(a+)+" in fault
    assert signal.getsignal(signal.SIGVTALRM) is handler
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_a_pattern_that_is_soon_checked_is_checked_in_any_thread() -> None:
    schema = {"type": "string", "pattern": "^[a-z]+$"}
    with ThreadPoolExecutor(1) as threads:
        for value, fault in (("abc", None), ("ABC", "'ABC' does not match '^[a-z]+$'")):
            assert threads.submit(fault_of_value, value, schema).result(timeout=60) == fault_of_value(value, schema)
            assert fault_of_value(value, schema) == fault
