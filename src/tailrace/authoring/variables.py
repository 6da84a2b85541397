"""The names that templates may use, and that Python callables receive where they have a parameter of that name.

Their values are made for each try (``execution.context``); here they are only known, so that a wrong one is a mistake.
"""

VARIABLES = frozenset(
    """
    dag task ti task_instance task_instance_key_str dag_run run_id try_number logical_date execution_date
    data_interval_start data_interval_end ds ds_nodash ts ts_nodash ts_nodash_with_tz prev_data_interval_start_success
    prev_data_interval_end_success conf params macros var conn
    """.split()
)
