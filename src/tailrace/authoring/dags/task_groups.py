"""``TaskGroup`` and ``@task_group``: tasks under one name, related and given arguments as one."""

import functools
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Generic, Self, TypeVar, Unpack, overload

from tailrace.authoring.arguments.declarations import Argument, unsupported_of
from tailrace.authoring.arguments.unsupported import judge
from tailrace.authoring.context.results import never_run
from tailrace.authoring.dags.dag import DAG, group_for, nowhere, wrong_with_place
from tailrace.authoring.dags.group_arguments import GROUP_ARGUMENTS, GroupArguments, GroupFunctionArguments
from tailrace.authoring.mistakes.dag_errors import MISSING
from tailrace.authoring.relations.edges import Relations, relate
from tailrace.authoring.relations.expanded_over import ExpandedOver, wrong_with_item, wrong_with_kwargs
from tailrace.authoring.relations.group_items import GroupItem
from tailrace.authoring.relations.groups import Group, free_id
from tailrace.authoring.relations.partial import Expandable
from tailrace.authoring.relations.xcom_args import outputs_in
from tailrace.model.names import group_id_error, task_id_error
from tailrace.model.plain_text import shown
from tailrace.model.suggestions import did_you_write

R = TypeVar("R")

_UNSUPPORTED = unsupported_of(GroupArguments)


class TaskGroup(Group):
    """Tasks, and other groups, under one name: those written inside ``with TaskGroup("id"):`` are in it.

    The ids of what is in it begin with its own, ``id.task``. What is related to it by ``>>`` is related to its first
    tasks (those with nothing of the group above them) or its last ones, as they are once the whole file has been read;
    a group without any task lets relations through.
    """

    def __init__(self, group_id: str, **arguments: Unpack[GroupArguments]) -> None:
        given: Mapping[str, Any] = {**arguments}
        found = group_for(given.get("dag"), given.get("parent_group"))
        parent = found or nowhere()
        super().__init__(parent.dag, "", parent)
        wrong = group_id_error(group_id)
        self.group_id = shown(group_id) if wrong else parent.child_id(group_id)
        if wrong := wrong or task_id_error(self.group_id):
            self.mistake(f"group_id must be {wrong}")
        if found is None:
            self.mistake("it is in no DAG; write it inside `with DAG(…):` or give it dag=")
        if misplaced := wrong_with_place(self.dag, given.get("dag"), "parent_group", given.get("parent_group")):
            self.mistake(misplaced)
        read = {name: self._read(name, argument, given) for name, argument in GROUP_ARGUMENTS.items()}
        self.prefixes = read["prefix_group_id"] and not wrong  # which is one mistake, not one of each task too
        self.tooltip = read["tooltip"]
        self.own_defaults = read["default_args"]
        self._check_unsupported(given)
        self._join(parent, suffixed=read["add_suffix_on_collision"])
        self.dag.compare_dates(self)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _join(self, parent: Group, *, suffixed: bool) -> None:
        dag: DAG = self.dag
        taken = {**dag.task_dict, **dag.task_group_dict}
        if suffixed:
            self.group_id = free_id(self.group_id, taken)
        former = taken.get(self.group_id)
        if former is not None:
            kind = "task group" if isinstance(former, Group) else "task"
            self.mistake(f"its id is that of the {kind} at line {former.written_at[1]}; take another one")
            return
        dag.task_group_dict[self.group_id] = self
        parent.children[self.group_id] = self

    def _check_unsupported(self, given: Mapping[str, Any]) -> None:
        for name in given:
            if name in _UNSUPPORTED:
                if judge(_UNSUPPORTED, name, given).has_no_effect:
                    self.dag.without_effect.add(name)
            elif name not in GROUP_ARGUMENTS:
                self.mistake(f"TaskGroup has no argument {name!r}{did_you_write(name, GROUP_ARGUMENTS)}")

    def _read(self, name: str, argument: Argument, given: Mapping[str, Any]) -> Any:
        try:
            return argument.read(given.get(name, argument.default))
        except ValueError as wrong:
            self.mistake(f"{name} {wrong}")
            return argument.otherwise


class GroupFunction(Generic[R]):
    """A decorated function. Each call makes one group; a second call gets ``__1`` after its id, and so on."""

    def __init__(self, function: Callable[..., R], arguments: Mapping[str, Any]) -> None:
        functools.update_wrapper(self, function)  # first: it takes over what a decorated function has of its own
        self.function = function
        self._arguments = dict(arguments)

    @overload
    def __call__(self: "GroupFunction[None]", /, *args: Any, **kwargs: Any) -> TaskGroup: ...
    @overload
    def __call__(self, /, *args: Any, **kwargs: Any) -> R: ...
    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """A group of the tasks that the function makes; what it returns, or the group itself where that is None."""
        return _made(self.function, self._arguments, lambda group: self.function(*args, **kwargs))

    def partial(self, **arguments: Any) -> "GroupPartial":
        """What the function is given alike for every index of a mapped group: ``.expand(…)`` makes that group."""
        return GroupPartial(self.function, self._arguments, arguments)

    def expand(self, **over: Any) -> Any:
        """A group with an index for each combination of the items of these; returns what a call would."""
        return self.partial().expand(**over)

    def expand_kwargs(self, kwargs: Any) -> Any:
        """A group with an index for each of these dicts, which hold its function's arguments."""
        return self.partial().expand_kwargs(kwargs)

    def override(self, **arguments: Unpack[GroupFunctionArguments]) -> Self:
        """The same function with other arguments of the group, such as ``group_id``."""
        return type(self)(self.function, {**self._arguments, **arguments})


class GroupPartial(Expandable):
    """A group's function with what is the same for all its indexes; ``expand`` or ``expand_kwargs`` makes the group."""

    def __init__(self, function: Callable[..., Any], of_group: Mapping[str, Any], same: Mapping[str, Any]) -> None:
        super().__init__(getattr(function, "__name__", "function"))
        self._function, self._of_group, self._same = function, of_group, same

    def expand(self, **over: Any) -> Any:
        """A group with an index for each combination of the items of these."""
        return self._mapped(ExpandedOver(over), tuple(over), {})

    def expand_kwargs(self, kwargs: Any) -> Any:
        """A group with an index for each of these dicts; what one lacks and has a default is the default."""
        parameters = inspect.signature(self._function).parameters.values()
        defaults = {each.name: MISSING if each.default is each.empty else each.default for each in parameters}
        left = {name: default for name, default in defaults.items() if name not in self._same}
        open_ended = next(
            (each.name for each in parameters if each.kind in (each.VAR_KEYWORD, each.VAR_POSITIONAL)), ""
        )
        if open_ended:
            return self._mapped(
                ExpandedOver(None, kwargs), (), {}, f"expand_kwargs needs a function without *{open_ended}"
            )
        return self._mapped(ExpandedOver(None, kwargs), tuple(left), left, self._wrong_with_kwargs(kwargs, left))

    def _wrong_with_kwargs(self, kwargs: Any, left: Mapping[str, Any]) -> str | None:
        """Of those that are written out; an output will be what it is."""
        if (wrong := wrong_with_kwargs(kwargs)) or not isinstance(kwargs, (list, tuple)):
            return wrong
        for index, each in enumerate(kwargs):
            if isinstance(each, Relations):
                continue
            if wrong := wrong_with_item(index, each):
                return wrong
            lacking = next((name for name, default in left.items() if default is MISSING and name not in each), None)
            if lacking is not None:
                return f"expand_kwargs: item {index} has no {lacking!r}"
            unknown = next((name for name in each if name not in left), None)
            if unknown is not None:
                twice = "is given to partial(…) too" if unknown in self._same else "is no argument of the function"
                return f"expand_kwargs: {unknown!r} of item {index} {twice}"
        return None

    def _mapped(
        self, over: ExpandedOver, names: tuple[str, ...], defaults: Mapping[str, Any], wrong: str | None = None
    ) -> Any:
        self.is_expanded = True
        return _made(self._function, self._of_group, partial(self._fill, over, names, defaults, wrong))

    def _fill(
        self,
        over: ExpandedOver,
        names: tuple[str, ...],
        defaults: Mapping[str, Any],
        wrong: str | None,
        group: TaskGroup,
    ) -> Any:
        """Let the group be mapped and call the function in it; a call that cannot be made is a mistake."""
        if (around := group.mapped_group) is not None:
            group.mistake(
                f"it is in the mapped task group {around.group_id}, and a mapped group in one is not possible, "
                "nor in Airflow: let one be expanded over the items of both"
            )
        for fault in filter(None, (*over.faults(), wrong)):
            group.mistake(fault)
        for name in names:
            if name in self._same:
                group.mistake(f"{name} is given to partial(…) and to expand(…)")
        group.expanded, group.item_names = over, frozenset(names)
        relate([output.operator for output in outputs_in(over.sources)], [group])
        items = {name: GroupItem(group, over, name, defaults.get(name, MISSING)) for name in names}
        given = {**self._same, **items}
        try:
            inspect.signature(self._function).bind(**given)
        except TypeError as unfit:
            group.mistake(f"its function cannot be called: {unfit}")
            return None
        return self._function(**given)


def _made(function: Callable[..., Any], of_group: Mapping[str, Any], fill: Callable[[TaskGroup], Any]) -> Any:
    """A group of the tasks that ``fill`` makes in it; what that returns, or the group itself where that is None."""
    own = {"tooltip": (function.__doc__ or "").strip().partition("\n")[0], "add_suffix_on_collision": True}
    given: dict[str, Any] = {"group_id": function.__name__, **own, **of_group}
    with TaskGroup(**given) as group:
        returned = fill(group)
    if unrun := never_run(returned):
        group.mistake(unrun)
        return group
    return group if returned is None else returned


@overload
def task_group(function: Callable[..., R], /) -> GroupFunction[R]: ...
@overload
def task_group(
    group_id: str | None = None, /, **arguments: Unpack[GroupFunctionArguments]
) -> Callable[[Callable[..., R]], GroupFunction[R]]: ...
def task_group(function: Any = None, /, **arguments: Any) -> Any:
    """Make a function into a factory of task groups: its body is the ``with`` block; calling it makes the group.

    Usable as ``@task_group`` or ``@task_group(group_id="name", tooltip=…)``; the id defaults to the function's name,
    the tooltip to the first line of its docstring. What the function is given may be outputs of tasks.
    """
    if callable(function):
        return GroupFunction(function, arguments)
    if function is not None:
        arguments = {"group_id": function, **arguments}
    return lambda decorated: GroupFunction(decorated, arguments)
