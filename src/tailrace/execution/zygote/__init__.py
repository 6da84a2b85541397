"""The small process that loads the DAG files and forks the processes of tasks."""
