"""Jinja2 templates of task fields. An undefined variable fails the try in one line that names field and variable.

Loaded only for a field that is a template: to look for its mistakes, and to render it.
"""

import functools
import importlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.defaults import DEFAULT_NAMESPACE

from tailrace.authoring.context.current import Context, Given
from tailrace.authoring.context.moments import Moment
from tailrace.authoring.templates.fields import TemplateSetup
from tailrace.errors import RecordsUnreadable, RenderingFailed, SecretUnreadable, XComUnreadable
from tailrace.model.suggestions import did_you_mean, did_you_write
from tailrace.secrets.names import SecretKind

#: What brings other templates or code of its own into a template.
_MORE = (nodes.Import, nodes.FromImport, nodes.Include, nodes.Extends, nodes.Macro, nodes.CallBlock)


#: What a template asks for, and cannot be had.
_UNREADABLE = (SecretUnreadable, RecordsUnreadable, XComUnreadable)

#: The filters besides Jinja's: how each writes a datetime.
FILTERS: Mapping[str, Callable[[Any], str]] = {
    "ds": lambda moment: moment.strftime("%Y-%m-%d"),
    "ds_nodash": lambda moment: moment.strftime("%Y%m%d"),
    "ts": lambda moment: moment.isoformat(),
    "ts_nodash": lambda moment: moment.strftime("%Y%m%dT%H%M%S"),
    "ts_nodash_with_tz": lambda moment: moment.strftime("%Y%m%dT%H%M%S%z"),
}


class _Undefined(jinja2.StrictUndefined):
    """What is not there. Of what a run was given it says how to give it."""

    @property
    def _undefined_message(self) -> str:
        conf, name = self._undefined_obj, self._undefined_name
        if isinstance(conf, Moment) and isinstance(name, str):
            return conf.lacks(name)
        if not isinstance(conf, Given) or not isinstance(name, str):
            return super()._undefined_message
        near = did_you_mean(name, [key for key in conf if isinstance(key, str)])
        given = f"--conf '{{{json.dumps(name)}: …}}'"
        return f"the run's conf has no attribute {name!r}; {given} gives it{near}"


@functools.cache
def _environment(setup: TemplateSetup) -> jinja2.Environment:
    kind = jinja2.Environment
    if setup.native:
        kind = importlib.import_module("tailrace.authoring.templates.native").OwnKindEnvironment
    environment = kind(loader=jinja2.FileSystemLoader(setup.folders), undefined=_Undefined)
    environment.filters.update(FILTERS)
    environment.filters.update(setup.filters)
    return environment


@functools.lru_cache(maxsize=4096)
def _of_text(setup: TemplateSetup, text: str) -> jinja2.Template:
    return _environment(setup).from_string(text)


def _of_file(setup: TemplateSetup, name: str) -> jinja2.Template:
    """The file as it is now: a compiled one is used again only while the file is unchanged."""
    return _environment(setup).get_template(name)


def prepare(setup: TemplateSetup, text: str, *, is_file: bool) -> None:
    """Compile a template ahead of its use. A wrong one is reported when it is rendered."""
    with suppress(jinja2.TemplateError, OSError, UnicodeDecodeError):
        _of_file(setup, text) if is_file else _of_text(setup, text)


def render(setup: TemplateSetup, text: str, context: Mapping[str, Any], *, is_file: bool, what: str) -> Any:
    """The text, or the file of that name below a folder, rendered. Raises RenderingFailed, naming ``what``.

    It is text; where the setup is native, a template that is one expression gives what that is.
    """
    try:
        template = _of_file(setup, text) if is_file else _of_text(setup, text)
        return template.render(context.given() if isinstance(context, Context) else context)
    except jinja2.TemplateNotFound as missing:
        raise RenderingFailed(f"{what}: no template file {missing.name} in {' or '.join(setup.folders)}") from None
    except (jinja2.TemplateError, LookupError, UnicodeDecodeError, *_UNREADABLE) as wrong:
        raise RenderingFailed(f"{what}: {wrong}".partition("\n")[0]) from None


def faults_in(
    setup: TemplateSetup, text: str, *, is_file: bool, known: Collection[str] | None, tasks: Collection[str]
) -> list[str]:
    """What is certainly wrong with a template: its syntax, a filter, a variable or a task that is not there.

    ``known`` are the variables there are (None: any may be there), ``tasks`` the ids of the DAG's tasks.
    """
    environment = _environment(setup)
    try:
        parts = _parts(environment.parse(_content(environment, text)) if is_file else _parsed(text))
    except (jinja2.TemplateError, UnicodeDecodeError, OSError) as wrong:
        return [str(wrong).partition("\n")[0]]
    found = []
    for kind, there, word in (("filters", environment.filters, "filter"), ("tests", environment.tests, "test")):
        for name in sorted({each.name for each in getattr(parts, kind)} - there.keys()):
            found.append(f"there is no {word} {name!r}{did_you_write(name, there)}")
    if known is not None:
        for name in sorted(name for name in _free_names(parts) if name not in known):
            found.append(f"{name!r} is undefined{did_you_write(name, known)}")
    for name in sorted({name for name in _pulled(parts) if name not in tasks}):
        found.append(f"{name!r} is no task of this DAG{did_you_write(name, tasks)}")
    return found


def secrets_in(setup: TemplateSetup, text: str, *, is_file: bool) -> set[tuple[SecretKind, str]]:
    """The Variables and Connections that a template names itself, where it gives no default."""
    environment = _environment(setup)
    try:
        parsed = environment.parse(_content(environment, text)) if is_file else _parsed(text)
    except (jinja2.TemplateError, UnicodeDecodeError, OSError):
        return set()
    found = set()
    for of in _OF_SECRETS:
        for node in parsed.find_all(of):
            if (named := _secret_of(node)) is not None:
                found.add(named)
    return found


_OF_SECRETS: tuple[type[nodes.Expr], ...] = (nodes.Getattr, nodes.Getitem, nodes.Call)


def _secret_of(node: nodes.Node) -> tuple[SecretKind, str] | None:
    """What ``var.value.X``, ``conn.X``, ``conn["X"]`` or ``conn.get("X")`` names; None for anything else."""
    match node:
        case nodes.Call(node=nodes.Getattr(node=base, attr="get"), args=[nodes.Const(value=name)], kwargs=[]):
            pass
        case nodes.Getattr(node=base, attr=name) if name != "get":
            pass
        case nodes.Getitem(node=base, arg=nodes.Const(value=name)):
            pass
        case _:
            return None
    match base:
        case nodes.Name(name="conn") if isinstance(name, str):
            return SecretKind.CONNECTION, name
        case nodes.Getattr(node=nodes.Name(name="var"), attr="value" | "json") if isinstance(name, str):
            return SecretKind.VARIABLE, name
    return None


def calls_in(text: str) -> frozenset[str] | None:
    """The last names of what a template's text calls (``macros.ds_add(…)``: ds_add); None if it is more than that.

    None too for what cannot be parsed: that is reported when it is rendered.
    """
    try:
        parts = _parts(_parsed(text))
    except jinja2.TemplateError:
        return None
    if any(name.name in ("var", "conn") for name in parts.names):
        return None  # a secret stays in no process that another try gets
    if parts.more or not all(isinstance(call.node, nodes.Getattr) for call in parts.calls):
        return None  # a variable is called
    # ``dag`` and ``task`` are the author's own objects: whatever else they hold may run code by being looked at.
    theirs = sum(name.name in ("dag", "task") for name in parts.names)
    ids = [each for each in parts.attributes if each.attr in ("dag_id", "task_id")]
    if theirs != sum(isinstance(each.node, nodes.Name) and each.node.name in ("dag", "task") for each in ids):
        return None
    return frozenset(call.node.attr for call in parts.calls if isinstance(call.node, nodes.Getattr))


def _content(environment: jinja2.Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _free_names(parts: "_Parts") -> set[str]:
    """Variables that the template uses and does not make, nor asks whether they are there."""
    if parts.more:
        return set()  # who knows what they bring
    asked = {
        each.node.name
        for each in (*parts.filters, *parts.tests)
        if each.name in ("default", "d", "defined", "undefined") and isinstance(each.node, nodes.Name)
    }
    made = {name.name for name in parts.names if name.ctx != "load"}
    return {name.name for name in parts.names} - made - asked - DEFAULT_NAMESPACE.keys() - {"loop", "self"}


def _pulled(parts: "_Parts") -> Iterator[str]:
    """The task ids, written out, whose XComs of the same run the template pulls."""
    for call in parts.calls:
        of_ti = isinstance(call.node, nodes.Getattr) and call.node.attr == "xcom_pull"
        if not of_ti or any(each.key in ("dag_id", "run_id") for each in call.kwargs):
            continue
        asked = [*call.args[:1], *(each.value for each in call.kwargs if each.key == "task_ids")]
        for each in asked:
            for one in each.items if isinstance(each, (nodes.List, nodes.Tuple)) else [each]:
                if isinstance(one, nodes.Const) and isinstance(one.value, str):
                    yield one.value


@functools.lru_cache(maxsize=4096)
def _parsed(text: str) -> nodes.Template:
    return _environment(TemplateSetup()).parse(text)


@dataclass(slots=True)
class _Parts:
    """What a template is made of, as far as anyone here asks."""

    names: list[nodes.Name] = field(default_factory=list)
    attributes: list[nodes.Getattr] = field(default_factory=list)
    calls: list[nodes.Call] = field(default_factory=list)
    filters: list[nodes.Filter] = field(default_factory=list)
    tests: list[nodes.Test] = field(default_factory=list)
    more: bool = False  # it brings in other templates, or has code of its own


def _parts(parsed: nodes.Template) -> _Parts:
    """Looked for in one walk: a file may have thousands of templates."""
    parts = _Parts()
    kinds: dict[type[nodes.Node], list[Any]] = {
        nodes.Name: parts.names,
        nodes.Getattr: parts.attributes,
        nodes.Call: parts.calls,
        nodes.Filter: parts.filters,
        nodes.Test: parts.tests,
    }
    left: list[nodes.Node] = [parsed]
    while left:
        node = left.pop()
        if (found := kinds.get(type(node))) is not None:
            found.append(node)
        parts.more = parts.more or isinstance(node, _MORE)
        left.extend(node.iter_child_nodes())
    return parts
