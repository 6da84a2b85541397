"""Mapped tasks: written once, with an instance for each item, or each combination, of what they are expanded over.

``Operator.partial(…)`` and ``function.partial(…)`` give what is the same for all instances; ``expand(…)`` what differs,
by name, ``expand_kwargs(…)`` as a list of dicts. The operator itself is made in the process of each instance, of the
values that are its own: what an author's class does with them at its making works as it is.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from tailrace.authoring.arguments.declarations import arguments_of
from tailrace.authoring.arguments.defaults import OF_ONE_TASK
from tailrace.authoring.dags.dag import DAG, BaseOperator, TaskArguments, names_of
from tailrace.authoring.relations.edges import Relations, relate
from tailrace.authoring.relations.expanded_over import ExpandedOver, wrong_with_item, wrong_with_kwargs
from tailrace.authoring.relations.xcom_args import Pull, XComArg, outputs_in
from tailrace.errors import TaskFailed
from tailrace.model.spec import BranchKind
from tailrace.model.suggestions import did_you_write

#: What is each instance's alike, because it is decided before there are instances.
_ALIKE = frozenset(arguments_of(TaskArguments))


class MappedOperator(BaseOperator):
    """One task, whose instances are made by ``made_by`` of what is the same for all and what differs.

    ``over``: by name what it is expanded over. ``inner``: the argument that holds these names, as ``op_kwargs`` holds
    those of a function. ``over_kwargs``: the list of dicts of an ``expand_kwargs``.
    """

    def __init__(
        self,
        made_by: type[BaseOperator],
        same: Mapping[str, Any],
        over: Mapping[str, Any] | None,
        over_kwargs: Any = None,
        inner: str | None = None,
        /,
    ) -> None:
        self._made_by, self.same, self.inner = made_by, dict(same), inner
        self.over = over
        self.expanded_over = ExpandedOver(over, over_kwargs)
        super().__init__(**{name: value for name, value in same.items() if name in _ALIKE})
        defaults = self.task_group.default_args if "multiple_outputs" in names_of(made_by) else {}
        self.multiple_outputs = {**defaults, **same}.get("multiple_outputs") is True  # of each instance
        if made_by.decides is not BranchKind.NOTHING:
            self.mistake(
                "a task that decides between others is not mapped: let a task below it decide over what all return"
            )
        self._took_defaults(self.task_group, names_of(made_by) & self.task_group.default_args.keys())
        if (group := self.task_group.mapped_group) is not None:
            self.mistake(
                f"it is in the mapped task group {group.group_id}, and a mapped task in one is not possible, nor in "
                "Airflow: hand it the whole list, or let the group be expanded over more"
            )
        for fault in self.expanded_over.faults():
            self.mistake(fault)
        self.mapped_over = self.expanded_over.lengths
        self._check_names()
        relate([output.operator for output in outputs_in([self.same, *self.expanded_over.sources])], [self])

    @property
    def made_by(self) -> type[BaseOperator]:
        """The operator of its instances."""
        return self._made_by

    def for_index(self, index: int, pull: Pull) -> BaseOperator:
        """The operator of one instance. Raises TaskFailed for items that cannot be its arguments."""
        differing = self._differing(index, pull)
        arguments = dict(self.same)
        if self.inner is None:
            arguments.update(differing)
        else:
            arguments[self.inner] = {**arguments.get(self.inner, {}), **differing}
        return self._operator_with(arguments)

    def look_for_mistakes(self) -> None:
        """Those of a function's call: whatever the values will be, their names are known."""
        if self.inner is None or self.over is None or self.dag.mistakes:
            return
        named = {**self.same.get(self.inner, {}), **dict.fromkeys(self.over, XComArg(self))}
        for mistake in _Instance(self, {**self.same, self.inner: named}).mistakes:
            self.dag.mistake(mistake, at=self.written_at)

    def _operator_with(self, arguments: Mapping[str, Any]) -> BaseOperator:
        instance = _Instance(self, arguments)
        if instance.mistakes:
            raise TaskFailed(instance.mistakes[0])
        operator = instance.operator
        operator.dag, operator.task_group = self.dag, self.task_group
        operator.upstream_task_ids, operator.downstream_task_ids = self.upstream_task_ids, self.downstream_task_ids
        return operator

    def _differing(self, index: int, pull: Pull) -> dict[str, Any]:
        found = self.expanded_over.at(index, pull)
        if self.over is None and (wrong := self._wrong_with_kwargs(index, found)):
            raise TaskFailed(wrong)
        return dict(found)

    def _wrong_with_kwargs(self, index: int, kwargs: Any) -> str | None:
        """Why one item of an ``expand_kwargs`` cannot be the arguments of its instance; None where it can."""
        if unfit := wrong_with_item(index, kwargs):
            return unfit
        wrong = next(filter(None, (self._wrong_with_name(name, "expand_kwargs(…)") for name in kwargs)), None)
        return wrong and f"{wrong} (item {index})"

    def _wrong_with_name(self, name: str, given_to: str) -> str | None:
        if self.inner is None and name in _ALIKE:
            return f"{name} is the same for all instances: give it to partial(…)"
        if name in (self.same if self.inner is None else self.same.get(self.inner, {})):
            return f"{name} is given to partial(…) and to {given_to}"
        return None

    def _check_kwargs(self) -> None:
        """Those that are written out; an output will be what it is."""
        over_kwargs = self.expanded_over.kwargs
        if wrong := wrong_with_kwargs(over_kwargs):
            self.mistake(wrong)
        if not isinstance(over_kwargs, (list, tuple)):
            return
        for index, kwargs in enumerate(over_kwargs):
            if not isinstance(kwargs, Relations) and (wrong := self._wrong_with_kwargs(index, kwargs)):
                self.mistake(wrong)
                return

    def _check_names(self) -> None:
        if self.over is None:
            self._check_kwargs()
        over = self.over or {}
        for name in over:
            if wrong := self._wrong_with_name(name, "expand(…)"):
                self.mistake(wrong)
        known = names_of(self.made_by)
        for name in (*self.same, *(over if self.inner is None else ())):
            if name not in known | OF_ONE_TASK:
                self.mistake(f"{self.made_by.__name__} has no argument {name!r}{did_you_write(name, known)}")
        written: list[tuple[str, Sequence[Any]]] = [
            (name, [value]) for name, value in self.same.items() if name not in _ALIKE
        ]
        if self.inner is None:
            written += [(name, items) for name, items in over.items() if isinstance(items, (list, tuple))]
        for name, values in written:
            self._check_values(name, values)

    def _check_values(self, name: str, values: Sequence[Any]) -> None:
        """Those that are written out; an output will be what it is."""
        argument = self.made_by._declared.get(name)
        for value in values:
            if argument is None or next(outputs_in(value), None) is not None:
                continue
            try:
                argument.read(value)
            except ValueError as wrong:
                self.mistake(f"{name} {wrong}")


class _Aside(DAG):
    """Where the operator of an instance is made: the mapped task has its place in the DAG and its relations."""

    keeps_relations = False


class _Instance:
    """The operator of one instance, made outside the DAG, with what was wrong with it."""

    def __init__(self, mapped: MappedOperator, arguments: Mapping[str, Any]) -> None:
        aside: list[DAG] = []
        with DAG.gathered(aside):
            dag = _Aside(mapped.dag.dag_id, default_args=cast(Any, mapped.task_group.default_args))
            given = {name: value for name, value in arguments.items() if name != "task_group"}
            self.operator = mapped.made_by(**{**given, "task_id": mapped.task_id, "dag": dag})
        if mapped.task_id in dag.task_dict:
            self.operator.look_for_mistakes()
        self.mistakes = [each.message for each in dag.mistakes]
