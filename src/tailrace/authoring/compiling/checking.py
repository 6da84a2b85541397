"""What only the whole of a DAG shows: cycles, default_args that nobody takes, arguments without effect."""

import importlib
import os

from tailrace.authoring.arguments.dag_arguments import DAG_ARGUMENTS, UNSUPPORTED_DAG_ARGUMENTS
from tailrace.authoring.arguments.task_arguments import TASK_ARGUMENTS
from tailrace.authoring.arguments.unsupported import judge
from tailrace.authoring.compiling.group_relations import Order, settle
from tailrace.authoring.context.variables import VARIABLES
from tailrace.authoring.dags.dag import DAG, UNSUPPORTED_TASK_ARGUMENTS, BaseOperator, names_of
from tailrace.authoring.relations.edges import Label
from tailrace.authoring.relations.group_items import items_in
from tailrace.authoring.relations.groups import Group
from tailrace.authoring.templates.fields import is_template, missing_file, names_file, setup_of, templated_texts
from tailrace.model.names import label_error
from tailrace.model.spec import BranchKind, ScheduleKind
from tailrace.model.suggestions import did_you_write, joined


def check(dag: DAG) -> Order:
    """Note the mistakes in a DAG that its parts could not see, and what its author should know about it.

    Returns what the relations of its tasks and groups come to.
    """
    for group in (dag.task_group, *dag.task_group_dict.values()):
        _check_defaults(dag, group)
        if not group.children and group.task_group is not None:
            dag.note(f"task group {group.group_id} is empty: relations go through it", at=group.written_at)
    for name in () if dag.schedule.kind is ScheduleKind.NONE else dag.params.without_default:
        dag.mistake(f"param {name!r} has no default, and nobody gives scheduled runs one; give it here")
    for label in dag.task_group.labels:
        _check_label(label)
    order = settle(dag)
    if order.circle:
        _note_circle(dag, order)
    for task in dag.task_dict.values():
        if task.decides is not BranchKind.NOTHING and not task.downstream_task_ids:
            task.mistake("it decides between tasks, and has none downstream")
        task.look_for_mistakes()
        _check_items(task)
        _check_name(task)
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
    return order


def _check_items(task: BaseOperator) -> None:
    """An argument of a mapped group's function is nothing outside of that group."""
    group = task.task_group.mapped_group
    values = [getattr(task, name, None) for name, argument in task._declared.items() if argument.holds_outputs]
    for item in items_in([values, getattr(task, "same", None)]):
        if item.group is not group:
            task.mistake(f"{item!r} is known to the tasks of that group alone, and this task is not in it")


def _check_name(task: BaseOperator) -> None:
    """What its instances are called: any variable may be there, which the task adds to its context."""
    text = task.map_index_template
    if text is None:
        return
    if task.mapped_over is None and task.task_group.mapped_group is None:
        task.dag.without_effect.add("map_index_template of a task that is not mapped")
    if is_template(text):
        templates = importlib.import_module("tailrace.authoring.templates.environment")
        for fault in templates.faults_in(setup_of(task), text, is_file=False, known=None, tasks=task.dag.task_dict):
            task.mistake(f"map_index_template: {fault}")


def _faults(task: BaseOperator, field: str, text: str) -> list[str]:
    """What is wrong with a templated text. The template language is loaded once there is a template."""
    is_file = names_file(task, field, text)
    if not is_file and not is_template(text):
        return []
    dag = task.dag
    templates = importlib.import_module("tailrace.authoring.templates.environment")
    known = {*VARIABLES, *dag.user_defined_macros}
    found: list[str] = templates.faults_in(
        setup_of(task), text, is_file=is_file, known=known, tasks=dag.task_dict.keys()
    )
    return found


def _check_label(label: Label) -> None:
    if wrong := label_error(label.label):
        label.mistake(f"{label!r} must be {wrong}")
    elif not label.is_misplaced and not (label.before and label.after):
        label.mistake(
            f"{label!r} stands between two tasks or groups, a >> {label!r} >> b, and here one of them is missing"
        )


def _note_circle(dag: DAG, order: Order) -> None:
    """Which tasks are in the circle, and which relations of groups made it one."""
    where = min((relation.written_at for relation in order.by), default=order.circle[0].written_at)
    made = joined([f"{relation.before.node_id} >> {relation.after.node_id}" for relation in order.by])
    text = " >> ".join(node.node_id for node in order.circle)
    dag.mistake(f"cycle: {text}" + (f" (by {made})" if made else ""), at=where)


def _check_defaults(dag: DAG, group: Group) -> None:
    """Each of default_args is taken by a task, or reported: what is the DAG's, what is not there, what is misspelt."""
    of_dag = {*DAG_ARGUMENTS, *UNSUPPORTED_DAG_ARGUMENTS} - UNSUPPORTED_TASK_ARGUMENTS.keys()
    tasks = [each for each in group if isinstance(each, BaseOperator)]
    known = set(TASK_ARGUMENTS).union(*(names_of(task.made_by) for task in tasks))
    nobodys = []
    for name, value in group.own_defaults.items():
        if name in UNSUPPORTED_TASK_ARGUMENTS and (name in TASK_ARGUMENTS or name not in group.defaults_taken):
            judged = judge(UNSUPPORTED_TASK_ARGUMENTS, name, group.default_args)
            if judged.mistake:
                group.mistake(f"default_args: {judged.mistake}")
            if judged.has_no_effect:
                dag.without_effect.add(name)
        elif name in group.defaults_taken:
            continue
        elif name in of_dag:
            own = getattr(dag, name, None)
            if type(own) is not type(value) or own != value:
                group.mistake(f"default_args are for tasks, and {name} is the DAG's: give it to DAG(…)")
            dag.without_effect.add(f"{name} in default_args")
        elif name not in known and (
            hint := did_you_write(name, known | UNSUPPORTED_TASK_ARGUMENTS.keys(), likeness=0.8, cut_short=False)
        ):
            group.mistake(f"default_args has no argument {name!r}{hint}")
        else:
            nobodys.append(name)
    if nobodys:
        where = "this DAG" if group.task_group is None else f"task group {group.group_id}"
        dag.note(f"no task of {where} takes {', '.join(nobodys)} of default_args", at=group.written_at)
