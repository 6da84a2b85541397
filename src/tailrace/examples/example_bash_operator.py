"""The six tasks whose backfill kept failing at random in 2016: the race that Tailrace began with.

runme_0, runme_1, runme_2 → run_after_loop ─┬→ run_this_last
                            also_run_this ──┘
"""

from datetime import datetime

from tailrace import DAG, BashOperator, EmptyOperator

with DAG(
    "example_bash_operator",
    schedule="0 0 * * *",
    start_date=datetime(2016, 1, 1),
    description="Six tasks, five of them in bash",
    tags=["example"],
) as example:
    run_this_last = EmptyOperator(task_id="run_this_last")
    run_after_loop = BashOperator(task_id="run_after_loop", bash_command="echo {{ ds }}")
    for i in range(3):
        runme = BashOperator(task_id=f"runme_{i}", bash_command="echo '{{ task_instance_key_str }}' && sleep 0.1")
        runme >> run_after_loop
    also_run_this = BashOperator(task_id="also_run_this", bash_command="echo 'run_id={{ run_id }}'")
    [run_after_loop, also_run_this] >> run_this_last
