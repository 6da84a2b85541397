"""What only the whole of a DAG shows: cycles, default_args that nobody takes, arguments without effect."""

import importlib
import os
from graphlib import CycleError, TopologicalSorter

from tailrace.authoring.dag import DAG, UNSUPPORTED_TASK_ARGUMENTS, BaseOperator, names_of
from tailrace.authoring.dag_arguments import DAG_ARGUMENTS, UNSUPPORTED_DAG_ARGUMENTS
from tailrace.authoring.task_arguments import TASK_ARGUMENTS
from tailrace.authoring.template_fields import is_template, missing_file, names_file, templated_texts
from tailrace.authoring.unsupported import judge
from tailrace.authoring.variables import VARIABLES
from tailrace.model.spec import BranchKind, ScheduleKind
from tailrace.model.suggestions import did_you_write


def check(dag: DAG) -> None:
    """Note the mistakes in a DAG that its parts could not see, and what its author should know about it."""
    _check_defaults(dag)
    for name in () if dag.schedule.kind is ScheduleKind.NONE else dag.params.without_default:
        dag.mistake(f"param {name!r} has no default, and nobody gives scheduled runs one; give it here")
    cycle = _cycle(dag)
    if cycle:
        dag.mistake(f"cycle: {' >> '.join(cycle)}", at=dag.task_dict[cycle[0]].written_at)
    for task in dag.task_dict.values():
        if task.decides is not BranchKind.NOTHING and not task.downstream_task_ids:
            task.mistake("it decides between tasks, and has none downstream")
        task.look_for_mistakes()
        for field, text in templated_texts(task):
            if missing := missing_file(task, field, text):  # it may be made before the task runs
                dag.note(f"task {task.task_id}: {field}: {missing}", at=task.written_at)
            for fault in _faults(task, field, text):
                task.mistake(f"{field}: {fault}")
    for folder in dag.template_folders:
        if not os.path.isdir(folder):
            dag.note(f"template_searchpath: there is no folder {folder}")
    if dag.without_effect:
        names = sorted(dag.without_effect)
        dag.note(f"{', '.join(names)}: kept, and without effect in Tailrace")


def _faults(task: BaseOperator, field: str, text: str) -> list[str]:
    """What is wrong with a templated text. The template language is loaded once there is a template."""
    is_file = names_file(task, field, text)
    if not is_file and not is_template(text):
        return []
    dag = task.dag
    templates = importlib.import_module("tailrace.authoring.templates")
    known = {*VARIABLES, *dag.user_defined_macros}
    found: list[str] = templates.faults_in(
        dag.template_folders, text, is_file=is_file, known=known, tasks=dag.task_dict.keys()
    )
    return found


def graph_of(dag: DAG) -> dict[str, set[str]]:
    """For each task id, what is directly upstream of it."""
    return {
        task_id: {up for up in task.upstream_task_ids if up in dag.task_dict} for task_id, task in dag.task_dict.items()
    }


def _cycle(dag: DAG) -> list[str]:
    try:
        TopologicalSorter(graph_of(dag)).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return list(reversed(found))
    return []


def _check_defaults(dag: DAG) -> None:
    """Each of default_args is taken by a task, or reported: what is the DAG's, what is not there, what is misspelt."""
    of_dag = {*DAG_ARGUMENTS, *UNSUPPORTED_DAG_ARGUMENTS} - UNSUPPORTED_TASK_ARGUMENTS.keys()
    known = set(TASK_ARGUMENTS).union(*(names_of(type(task)) for task in dag.task_dict.values()))
    nobodys = []
    for name, value in dag.default_args.items():
        if name in UNSUPPORTED_TASK_ARGUMENTS and (name in TASK_ARGUMENTS or name not in dag.defaults_taken):
            judged = judge(UNSUPPORTED_TASK_ARGUMENTS, name, dag.default_args)
            if judged.mistake:
                dag.mistake(f"default_args: {judged.mistake}")
            if judged.has_no_effect:
                dag.without_effect.add(name)
        elif name in dag.defaults_taken:
            continue
        elif name in of_dag:
            own = getattr(dag, name, None)
            if type(own) is not type(value) or own != value:
                dag.mistake(f"default_args are for tasks, and {name} is the DAG's: give it to DAG(…)")
            dag.without_effect.add(f"{name} in default_args")
        elif name not in known and (
            hint := did_you_write(name, known | UNSUPPORTED_TASK_ARGUMENTS.keys(), likeness=0.8, cut_short=False)
        ):
            dag.mistake(f"default_args has no argument {name!r}{hint}")
        else:
            nobodys.append(name)
    if nobodys:
        dag.note(f"no task of this DAG takes {', '.join(nobodys)} of default_args")
