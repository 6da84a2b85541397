"""Shell completion of what the metastore knows: tasks, runs, backfills and pools. Silent, whatever goes wrong.

The database library is loaded only where such a name is completed.
"""

import importlib
from collections.abc import Callable, Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem

from tailrace.runtime.settings import load_settings


def complete_tasks(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The tasks of the DAG that was typed."""
    dag_id = context.params.get("dag_id")
    return [] if not dag_id else _completed(context, incomplete, lambda asked, stores: asked.task_ids(stores, dag_id))


def complete_tasks_and_groups(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The tasks and task groups of the DAG that was typed."""
    dag_id = context.params.get("dag_id")
    if not dag_id:
        return []
    return _completed(context, incomplete, lambda asked, stores: asked.tasks_and_groups(stores, dag_id))


def complete_runs(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The newest runs of the DAG that was typed: their ids, or their dates where a digit is typed."""
    dag_id = context.params.get("dag_id")
    if not dag_id:
        return []
    return _completed(context, incomplete, lambda asked, stores: asked.runs(stores, dag_id, incomplete))


def complete_backfills(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The newest backfills."""
    return _completed(context, incomplete, lambda asked, stores: asked.backfills(stores))


def complete_pools(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The pools."""
    return _completed(context, incomplete, lambda asked, stores: asked.pools(stores))


def complete_variables(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The Variables that are stored."""
    return _completed(context, incomplete, lambda asked, stores: asked.variables(stores))


def complete_connections(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The Connections that are stored."""
    return _completed(context, incomplete, lambda asked, stores: asked.connections(stores))


def _completed(
    context: click.Context, incomplete: str, asked: Callable[[Any, Any], Iterable[str | tuple[str, str]]]
) -> list[CompletionItem]:
    try:
        settings = load_settings({"dags": context.params.get("dags")})
        service = importlib.import_module("tailrace.service.completing")
        with importlib.import_module("tailrace.service.stores").Stores(settings) as stores:
            named = [(each, None) if isinstance(each, str) else each for each in asked(service, stores)]
    except Exception:  # a shell shows whatever is said in the middle of the line that is being typed
        return []
    return [CompletionItem(name, help=text) for name, text in named if name.startswith(incomplete)]
