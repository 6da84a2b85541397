"""Jinja2 templates of task fields. An undefined variable fails the try in one line that names field and variable.

Only ``rendering`` asks for this module, and only for a field that is a template.
"""

import functools
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import jinja2

from tailrace.errors import RenderingFailed


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
def _template(folder: Path, text: str, is_file: bool) -> jinja2.Template:
    environment = _environment(folder)
    return environment.get_template(text) if is_file else environment.from_string(text)


def prepare(folder: Path, text: str, *, is_file: bool) -> None:
    """Compile a template ahead of its use. A wrong one is told when it is rendered."""
    with suppress(jinja2.TemplateError, OSError, UnicodeDecodeError):
        _template(folder, text, is_file)


def render(folder: Path, text: str, context: Mapping[str, Any], *, is_file: bool, what: str) -> str:
    """The text, or the file of that name in or below ``folder``, rendered. Raises RenderingFailed, naming ``what``."""
    try:
        return _template(folder, text, is_file).render(context)
    except jinja2.TemplateNotFound as missing:
        raise RenderingFailed(f"{what}: no template file {missing.name} beside the DAG file") from None
    except (jinja2.TemplateError, LookupError, UnicodeDecodeError) as wrong:
        raise RenderingFailed(f"{what}: {wrong}".partition("\n")[0]) from None
