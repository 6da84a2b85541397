"""What authors write reaches the tasks, is shown as it was stored, and is said where it comes to nothing."""

from pathlib import Path

from tests.acceptance.conftest import Run, asked

HEAD = "from datetime import *\nfrom tailrace import *\n"


def write(folder: Path, **files: str) -> None:
    (folder / "dags").mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / "dags" / name.replace("_", ".")).write_text(text)


def test_default_args_reach_bash_and_what_has_no_effect_is_reported_once(tailrace: Run, tmp_path: Path) -> None:
    """newcomer 01: `pwd` was another and $STAGE empty."""
    write(
        tmp_path,
        x_py=f"""{HEAD}
with DAG("defargs", schedule="@daily", default_args={{
    "start_date": datetime(2024, 1, 1), "cwd": "/usr", "env": {{"STAGE": "prod"}}, "append_env": True, "owner": "me",
}}):
    BashOperator(task_id="where", bash_command="echo $(pwd) $STAGE ${{HOME:+home}}")
""",
    )
    checked = tailrace("dags", "check")
    assert (checked.returncode, checked.stdout) == (
        0,
        f"{tmp_path}/dags/x.py:4: note: owner: kept, and without effect in Tailrace\n",
    )
    done = tailrace("backfill", "defargs", "-s", "2024-01-01")
    assert done.returncode == 0 and done.stderr.count("note: owner: kept, and without effect in Tailrace") == 1
    assert "\n/usr prod home\n" in tailrace("tasks", "logs", "defargs", "where", "2024-01-01").stdout
    assert checked.stderr == "1 DAG loaded, no mistakes, 1 note\n"
    [note] = asked(tailrace, "dags", "check")["notes"]
    assert (note["dag_id"], note["line"]) == ("defargs", 4)


def test_what_would_not_happen_is_a_mistake(tailrace: Run, tmp_path: Path) -> None:
    write(
        tmp_path,
        x_py=f"""{HEAD}
with DAG("d", schedule="@daily", start_date=datetime(2024, 1, 1), catchup="False",
         default_args={{"on_failure_callback": "print", "email": "me"}}):
    BashOperator(task_id="t", bash_command="true", retry_exponential_backoff=3.0)
""",
    )
    done = tailrace("dags", "check")
    assert (done.returncode, [line.partition("x.py:")[2] for line in done.stdout.splitlines()]) == (
        2,
        [
            "4: catchup must be True or False, not 'False'",
            "4: default_args: email must be e-mail addresses, not 'me'",
            "4: default_args: on_failure_callback must be a function, a notifier, or a list of them, not 'print'",
            "6: task t: retry_exponential_backoff must be True or False, not 3.0",
        ],
    )


def test_the_data_interval_of_a_triggered_run_is_shown_as_its_task_gets_it(tailrace: Run, tmp_path: Path) -> None:
    """apache/airflow#25408, and #70089: in an hour that comes twice."""
    write(
        tmp_path,
        x_py=f"""{HEAD}
with DAG("d", schedule="30 2 * * *", start_date=datetime(2024, 10, 1), timezone="Europe/Berlin"):
    BashOperator(task_id="t", bash_command="echo {{{{ data_interval_start | ts }}}} {{{{ data_interval_end | ts }}}}")
""",
    )
    run_id, right = "manual__2024-10-27T01:10:00+00:00", ["2024-10-26T00:30:00+00:00", "2024-10-27T00:30:00+00:00"]
    triggered = asked(tailrace, "dags", "trigger", "d", "--logical-date", "2024-10-27T02:10+01:00")
    assert (triggered["run_id"], triggered["data_interval"]) == (run_id, right)
    assert tailrace("scheduler", "--until-idle").returncode == 0
    assert f"\n{' '.join(right)}\n" in tailrace("tasks", "logs", "d", "t", run_id).stdout
    assert asked(tailrace, "runs", "show", "d", run_id)["data_interval"] == right
    assert asked(tailrace, "runs", "explain", "d", run_id)["data_interval"] == right
    assert right in [run["data_interval"] for run in asked(tailrace, "runs", "list", "d")]
    shown = "data interval 2024-10-26 00:30:00Z to 2024-10-27 00:30:00Z"
    assert shown in tailrace("runs", "show", "d", run_id).stdout
    assert shown in tailrace("runs", "explain", "d", run_id).stdout
    tried = tailrace("tasks", "test", "d", "t", "2024-10-27T02:10+01:00")
    assert " ".join(right) in tried.stdout


def test_long_commands_and_words_that_end_in_sh(tailrace: Run, tmp_path: Path) -> None:
    """apache/airflow#42783, #246, #1017, #21918."""
    write(
        tmp_path,
        long_sh="# {{ ds }}\n"
        + "echo a line of a long script that was made by a program\n" * 4000
        + "echo end {{ ds }}\n",
        x_py=f"""{HEAD}
with DAG("d", schedule="@daily", start_date=datetime(2024, 1, 1)):
    BashOperator(task_id="file", bash_command="long.sh")
    BashOperator(task_id="calls", bash_command="bash {tmp_path}/tool.sh")
    BashOperator(task_id="path", bash_command="{tmp_path}/tool.sh")
    BashOperator(task_id="space", bash_command="{tmp_path}/tool.sh ")
    BashOperator(task_id="touch", bash_command="touch {tmp_path}/made.sh")
    BashOperator(task_id="gone", bash_command="absent.sh")
    BashOperator(task_id="env", bash_command="true", env={{"LONG": "{{{{ 'x' * 200_000 }}}}"}})
""",
    )
    (tmp_path / "tool.sh").write_text("#!/bin/sh\necho tool\n")
    (tmp_path / "tool.sh").chmod(0o755)
    done = tailrace("backfill", "d", "-s", "2024-01-01")
    gone = (
        f"bash_command: no template file absent.sh in {tmp_path}/dags; if it is no file's name, write a space after it"
    )
    assert done.returncode == 1 and done.stderr.count(f"note: task gone: {gone}\n") == 1
    shown = asked(tailrace, "runs", "show", "d", "2024-01-01")["task_instances"]
    assert {each["task_id"]: each["state"] for each in shown} == {
        **dict.fromkeys(("env", "gone"), "failed"),
        **dict.fromkeys(("calls", "file", "path", "space", "touch"), "success"),
    }
    reasons = {each["task_id"]: each["reason"] for each in shown}
    assert "env['LONG'] is 200,000 bytes long, and Linux takes at most" in reasons["env"]
    assert gone.replace("bash_command", "bash_command of gone") in reasons["gone"]
    assert tailrace("tasks", "logs", "d", "file", "2024-01-01").stdout.count("a line of") == 4000


def test_every_mistake_of_a_file_is_reported_at_once_in_its_line(tailrace: Run, tmp_path: Path) -> None:
    """newcomer 04 and 05: a file with all of them was "1 DAG loaded, no mistakes"."""
    write(
        tmp_path,
        x_py=f"""{HEAD}
with DAG("misc", schedule="@monthly", start_date=datetime(2024, 1, 1), catchup="False", max_active_runs=1):
    @task
    def total(net, tax):
        return net + tax

    total(100)

    @task
    def day(ds):
        return ds

    day(date="2024-01-01")
    PythonOperator(task_id="words", python_callable=lambda table: table, op_kwargs={{"tabel": 1}})
    BashOperator(task_id="brace", bash_command="echo {{{{ ds }}")
    BashOperator(task_id="name", bash_command="echo {{{{ logical_dat }}}}")
    BashOperator(task_id="pull", bash_command="echo {{{{ ti.xcom_pull(task_ids='totl') }}}}")
""",
    )
    mistakes = [
        "4: catchup must be True or False, not 'False'",
        "9: task total: python_callable cannot be called: missing a required argument: 'tax'",
        "15: task day: python_callable cannot be called: got an unexpected keyword argument 'date'",
        "16: task words: python_callable cannot be called: missing a required argument: 'table'",
        "17: task brace: bash_command: unexpected '}'",
        "18: task name: bash_command: 'logical_dat' is undefined; did you mean 'logical_date'?",
        "19: task pull: bash_command: 'totl' is no task of this DAG; did you mean 'total'?",
    ]
    done = tailrace("dags", "check")
    assert (done.returncode, done.stderr) == (2, "0 DAGs loaded, 7 mistakes\n")
    assert [line.partition("x.py:")[2] for line in done.stdout.splitlines()] == mistakes
    refused = tailrace("backfill", "misc", "-s", "2024-01-01")
    assert refused.returncode == 2 and "catchup must be True or False" in refused.stderr
    assert not (tmp_path / ".tailrace" / "tailrace.db").exists()


def test_a_fixed_offset_is_the_zone_of_the_schedule(tailrace: Run, tmp_path: Path) -> None:
    """newcomer 03: ten in the evening five hours west of Greenwich was ten in the evening in Greenwich."""
    write(
        tmp_path,
        x_py=f"""{HEAD}
with DAG("d", schedule="0 22 * * *", start_date=datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=-5)))):
    BashOperator(task_id="t", bash_command="echo {{{{ ds }}}} {{{{ ts }}}} {{{{ data_interval_end | ts }}}}")
""",
    )
    assert (
        "  2024-01-02T22:00-05:00  create  no run yet\n" in tailrace("backfill", "d", "-s", "2024-01-02", "-n").stdout
    )
    assert tailrace("backfill", "d", "-s", "2024-01-02").returncode == 0
    [run] = asked(tailrace, "runs", "list", "d")
    assert run["logical_date"] == "2024-01-03T03:00:00+00:00"
    shown = "\n2024-01-03 2024-01-03T03:00:00+00:00 2024-01-04T03:00:00+00:00\n"
    assert shown in tailrace("tasks", "logs", "d", "t", "2024-01-02").stdout


def test_what_reads_a_param_that_nobody_gave_says_what_gives_it(tailrace: Run, tmp_path: Path) -> None:
    """newcomer 13: 'mappingproxy object' has no attribute 'table'; and with what it says, the same task succeeds."""
    text = f"""{HEAD}
with DAG("k", schedule="@daily", start_date=datetime(2024, 1, 1)):
    BashOperator(task_id="a", bash_command="echo from {{{{ params.table }}}}")
    BashOperator(task_id="b", bash_command="echo from {{{{ dag_run.conf.table }}}}")
"""
    write(tmp_path, k_py=text)
    done = tailrace("backfill", "k", "-s", "2024-01-01")
    says = "the run's conf has no attribute 'table'; --conf '{\"table\": …}' gives it"
    assert done.returncode == 1
    for task_id in ("a", "b"):
        assert f"failed: {task_id} @ 2024-01-01: bash_command of {task_id}: {says}; log: " in done.stderr
    assert "mappingproxy" not in done.stdout + done.stderr
    repair = done.stdout.splitlines()[-1].split()[1:]
    assert tailrace(*repair, "--conf", '{"table": "orders"}').returncode == 0
    assert "\nfrom orders\n" in tailrace("tasks", "logs", "k", "a", "2024-01-01").stdout
    write(tmp_path, k_py=text.replace("1)):", '1), params={"table": "x"}):'))
    assert tailrace("dags", "check").returncode == 0
    assert tailrace("backfill", "k", "-s", "2024-01-02").returncode == 1
    assert "\nfrom x\n" in tailrace("tasks", "logs", "k", "a", "2024-01-02").stdout
