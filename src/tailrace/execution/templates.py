"""Jinja2 templates of task fields. An undefined variable fails the try in one line that names field and variable.

Only ``rendering`` asks for this module, and only for a field that is a template.
"""

import functools
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import nodes

from tailrace.errors import RenderingFailed

#: What brings other templates or code of its own into a template.
_MORE = (nodes.Import, nodes.FromImport, nodes.Include, nodes.Extends, nodes.Macro, nodes.CallBlock)


@functools.cache
def _environment(folder: Path) -> jinja2.Environment:
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(folder), undefined=jinja2.StrictUndefined)
    environment.filters["ds"] = lambda moment: moment.strftime("%Y-%m-%d")
    environment.filters["ds_nodash"] = lambda moment: moment.strftime("%Y%m%d")
    environment.filters["ts"] = lambda moment: moment.isoformat()
    environment.filters["ts_nodash"] = lambda moment: moment.strftime("%Y%m%dT%H%M%S")
    environment.filters["ts_nodash_with_tz"] = lambda moment: moment.strftime("%Y%m%dT%H%M%S%z")
    return environment


@functools.lru_cache(maxsize=4096)
def _of_text(folder: Path, text: str) -> jinja2.Template:
    return _environment(folder).from_string(text)


def _of_file(folder: Path, name: str) -> jinja2.Template:
    """The file as it is now: a compiled one is used again only while the file is unchanged."""
    return _environment(folder).get_template(name)


def prepare(folder: Path, text: str, *, is_file: bool) -> None:
    """Compile a template ahead of its use. A wrong one is told when it is rendered."""
    with suppress(jinja2.TemplateError, OSError, UnicodeDecodeError):
        _of_file(folder, text) if is_file else _of_text(folder, text)


def render(folder: Path, text: str, context: Mapping[str, Any], *, is_file: bool, what: str) -> str:
    """The text, or the file of that name in or below ``folder``, rendered. Raises RenderingFailed, naming ``what``."""
    try:
        template = _of_file(folder, text) if is_file else _of_text(folder, text)
        return template.render(context)
    except jinja2.TemplateNotFound as missing:
        raise RenderingFailed(f"{what}: no template file {missing.name} beside the DAG file") from None
    except (jinja2.TemplateError, LookupError, UnicodeDecodeError) as wrong:
        raise RenderingFailed(f"{what}: {wrong}".partition("\n")[0]) from None


def calls_in(text: str) -> frozenset[str] | None:
    """The last names of what a template's text calls (``macros.ds_add(…)``: ds_add); None if it is more than that.

    None too for what cannot be parsed: that is told when it is rendered.
    """
    try:
        parsed = _environment(Path()).parse(text)
    except jinja2.TemplateError:
        return None
    if any(parsed.find(kind) for kind in _MORE):
        return None
    called = [call.node for call in parsed.find_all(nodes.Call)]
    if not all(isinstance(each, nodes.Getattr) for each in called):
        return None  # a variable is called
    # ``dag`` and ``task`` are the author's own objects: whatever else they hold may run code by being looked at.
    theirs = sum(name.name in ("dag", "task") for name in parsed.find_all(nodes.Name))
    ids = [each for each in parsed.find_all(nodes.Getattr) if each.attr in ("dag_id", "task_id")]
    if theirs != sum(isinstance(each.node, nodes.Name) and each.node.name in ("dag", "task") for each in ids):
        return None
    return frozenset(each.attr for each in called if isinstance(each, nodes.Getattr))
