"""Every trigger rule, joins behind branches, decisions in groups, gates in front of long chains."""

from datetime import datetime, timedelta

from tailrace import DAG, BranchPythonOperator, EmptyOperator, PythonOperator, TaskGroup, TriggerRule, task
from tailrace.exceptions import TaskSkipped

ONCE = {"schedule": "@once", "start_date": datetime(2024, 1, 1)}


def fail():
    raise ValueError("no")


def skip():
    raise TaskSkipped("nothing new")


def three(*outcomes):
    made = {"works": lambda: None, "fails": fail, "skips": skip}
    return [PythonOperator(task_id=name, python_callable=made[name]) for name in outcomes]


with DAG("rules_over_all", **ONCE):
    above = three("works", "fails", "skips")
    for rule in TriggerRule:
        if rule != TriggerRule.ALL_DONE_SETUP_SUCCESS:
            above >> EmptyOperator(task_id=rule.value, trigger_rule=rule)

with DAG("rules_over_failures", **ONCE):
    three("fails") >> EmptyOperator(task_id="last", trigger_rule="all_failed")

with DAG("rules_over_skips", **ONCE):
    three("skips") >> EmptyOperator(task_id="last", trigger_rule="all_skipped")

with DAG("join_of_branches", **ONCE):

    @task.branch
    def which():
        return ["small.load", "log"]

    with TaskGroup("small") as small:
        EmptyOperator(task_id="load") >> EmptyOperator(task_id="check")
    with TaskGroup("large") as large:
        EmptyOperator(task_id="load") >> EmptyOperator(task_id="check")
    join = EmptyOperator(task_id="join", trigger_rule="none_failed_min_one_success")
    which() >> [small, large, EmptyOperator(task_id="log")] >> join

with DAG("branch_of_a_group", **ONCE):
    chosen = BranchPythonOperator(task_id="choose", python_callable=lambda: "right")
    with TaskGroup("left"):
        a = EmptyOperator(task_id="a")
    with TaskGroup("right") as right:
        b = EmptyOperator(task_id="b")
    chosen >> [a, b]

with DAG("branch_of_nothing", **ONCE):
    nothing = BranchPythonOperator(task_id="choose", python_callable=lambda: None)
    nothing >> [EmptyOperator(task_id="a"), EmptyOperator(task_id="b")]

with DAG("two_branches", **ONCE):
    first = BranchPythonOperator(task_id="first", python_callable=lambda: "shared")
    second = BranchPythonOperator(task_id="second", python_callable=lambda: "other")
    [first, second] >> EmptyOperator(task_id="shared", trigger_rule="none_failed")
    second >> EmptyOperator(task_id="other")

with DAG("gate", **ONCE):

    @task.short_circuit
    def is_monday(logical_date):
        return logical_date.weekday() == 0

    @task.short_circuit
    def is_sunday(logical_date):
        return logical_date.weekday() == 6

    is_monday() >> EmptyOperator(task_id="goes_on")
    is_sunday() >> EmptyOperator(task_id="a") >> EmptyOperator(task_id="b") >> EmptyOperator(task_id="c")

with DAG("failure_and_cleanup", default_args={"retries": 1, "retry_delay": timedelta(0)}, **ONCE):
    [start, broken] = EmptyOperator(task_id="start"), PythonOperator(task_id="broken", python_callable=fail)
    start >> broken >> EmptyOperator(task_id="never") >> EmptyOperator(task_id="cleanup", trigger_rule="all_done")

with DAG("watcher", **ONCE):
    tasks = [PythonOperator(task_id="broken", python_callable=fail), EmptyOperator(task_id="works")]
    tasks >> EmptyOperator(task_id="cleanup", trigger_rule="all_done")
    tasks >> PythonOperator(task_id="watcher", python_callable=fail, trigger_rule="one_failed")

with DAG("past_fails", schedule="@daily", start_date=datetime(2024, 1, 1), end_date=datetime(2024, 1, 2), catchup=True):

    @task(depends_on_past=True)
    def only_first(ds):
        assert ds == "2024-01-01"

    only_first()

EXPECTED = {
    "rules_over_all": {
        "works": "success",
        "fails": "failed",
        "skips": "skipped",
        **dict.fromkeys(("all_done", "one_success", "one_failed", "one_done", "always"), "success"),
        **dict.fromkeys(("all_success", "none_failed", "none_failed_min_one_success"), "upstream_failed"),
        **dict.fromkeys(("all_failed", "none_skipped", "all_skipped", "all_done_min_one_success"), "skipped"),
    },
    "rules_over_failures": {"fails": "failed", "last": "success"},
    "rules_over_skips": {"skips": "skipped", "last": "success"},
    "join_of_branches": {
        **dict.fromkeys(("which", "small.load", "small.check", "log", "join"), "success"),
        **dict.fromkeys(("large.load", "large.check"), "skipped"),
    },
    "branch_of_a_group": {"choose": "success", "left.a": "skipped", "right.b": "success"},
    "branch_of_nothing": {"choose": "success", "a": "skipped", "b": "skipped"},
    "two_branches": {"first": "success", "second": "success", "shared": "skipped", "other": "success"},
    "gate": {
        **dict.fromkeys(("is_monday", "goes_on", "is_sunday"), "success"),
        **dict.fromkeys("abc", "skipped"),
    },
    "failure_and_cleanup": {"start": "success", "broken": "failed", "never": "upstream_failed", "cleanup": "success"},
    "watcher": {"broken": "failed", "works": "success", "cleanup": "success", "watcher": "failed"},
    "past_fails": {},
}
FAILED_RUNS = {"rules_over_all", "watcher", "past_fails"}
EITHER = {"past_fails": {"only_first"}}  # one run each
