"""The arguments of task groups, each declared once."""

from typing import Annotated, TypedDict

from tailrace.authoring.arguments import reading as read
from tailrace.authoring.arguments import unsupported
from tailrace.authoring.arguments.declarations import Argument, arguments_of
from tailrace.authoring.arguments.task_arguments import DefaultArguments
from tailrace.authoring.dags.dag import DAG
from tailrace.authoring.relations.groups import Group


class GroupArguments(TypedDict, total=False):
    """What ``TaskGroup("id", …)`` takes."""

    prefix_group_id: Annotated[
        bool, Argument("whether the ids of what is in it begin with its own and a dot", read.flag, True)
    ]
    parent_group: Annotated[
        Group | None, Argument("the group it is in, where it is not written inside the `with` of that")
    ]
    dag: Annotated[DAG | None, Argument("the DAG it is in, where it is not written inside `with DAG(…):`")]
    default_args: Annotated[
        DefaultArguments,
        Argument("arguments for the tasks in it, before those of the groups around it and of the DAG", read.arguments),
    ]
    tooltip: Annotated[str | None, Argument("one line for `tailrace dags show`", read.short_text, "")]
    add_suffix_on_collision: Annotated[
        bool,
        Argument(
            "whether it becomes `id__1` and so on where there is such an id; as `@task_group` does", read.flag, False
        ),
    ]
    group_display_name: unsupported.Text
    ui_color: unsupported.Text
    ui_fgcolor: unsupported.Text


class GroupFunctionArguments(GroupArguments, total=False):
    """What ``@task_group(…)`` takes."""

    group_id: Annotated[str, Argument("the group's id; by default the function's name")]


GROUP_ARGUMENTS = arguments_of(GroupArguments)
