"""The DAG files the benchmarks run, written out as a user would write them."""

DIAMOND_BASH = '''
"""example_bash_operator's shape; every task runs ``true`` in bash."""
from datetime import datetime, timedelta
from tailrace import DAG, BashOperator

with DAG("diamond_bash", schedule="@daily", start_date=datetime(2016, 1, 1)):
    last = BashOperator(task_id="run_this_last", bash_command="true")
    after_loop = BashOperator(task_id="run_after_loop", bash_command="true")
    for i in range(3):
        BashOperator(task_id=f"runme_{i}", bash_command="true") >> after_loop
    also = BashOperator(task_id="also_run_this", bash_command="true")
    [after_loop, also] >> last
'''

DIAMOND_PYTHON = '''
"""example_bash_operator's shape; every task is a Python function that does nothing."""
from datetime import datetime
from tailrace import DAG, PythonOperator

def nothing():
    pass

with DAG("diamond_python", schedule="@daily", start_date=datetime(2016, 1, 1)):
    last = PythonOperator(task_id="run_this_last", python_callable=nothing)
    after_loop = PythonOperator(task_id="run_after_loop", python_callable=nothing)
    for i in range(3):
        PythonOperator(task_id=f"runme_{i}", python_callable=nothing) >> after_loop
    also = PythonOperator(task_id="also_run_this", python_callable=nothing)
    [after_loop, also] >> last
'''

CHAIN = '''
"""Fifty tasks, one after another; each is a Python function that does nothing."""
from datetime import datetime
from tailrace import DAG, PythonOperator, chain

def nothing():
    pass

with DAG("chain_python", schedule="@daily", start_date=datetime(2016, 1, 1)):
    chain(*[PythonOperator(task_id=f"hop_{i:02}", python_callable=nothing) for i in range(50)])
'''

FAILING = '''
"""Tasks that all fail, each with an error of its own date."""
from datetime import datetime
from tailrace import DAG, PythonOperator

def fails(ds):
    raise ValueError(f"no such table: orders of {ds}")

with DAG("failing", schedule="@daily", start_date=datetime(2016, 1, 1)):
    for i in range(TASKS):
        PythonOperator(task_id=f"load_{i}", python_callable=fails)
'''

MAPPED = '''
"""Two thousand instances of a Python function that does nothing, and what waits for them all."""
from datetime import datetime
from tailrace import DAG, EmptyOperator, task

with DAG("mapped", schedule="@daily", start_date=datetime(2016, 1, 1)):
    @task
    def numbers():
        return list(range(2000))

    @task
    def nothing(number):
        pass

    nothing.expand(number=numbers()) >> EmptyOperator(task_id="end")
'''

MAPPED_GROUP = '''
"""Five hundred indexes of a group of four Python functions that do nothing, one after another."""
from datetime import datetime
from tailrace import DAG, EmptyOperator, task, task_group

with DAG("mapped", schedule="@daily", start_date=datetime(2016, 1, 1)):
    @task
    def numbers():
        return list(range(500))

    @task
    def nothing(number):
        pass

    @task_group
    def four(number):
        nothing(number) >> nothing(1) >> nothing(2) >> nothing(3)

    four.expand(number=numbers()) >> EmptyOperator(task_id="end")
'''
