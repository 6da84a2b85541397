"""Settings that the processes of tasks and DAG files look at: they find them in their environment, wherever set."""

import os

from tailrace.authoring.relations.expanded_over import MAX_MAP_LENGTH
from tailrace.execution.xcoms.limits import BACKEND, FRAMES, MAX_BYTES
from tailrace.runtime.settings import Settings


def of_tasks(settings: Settings) -> dict[str, str]:
    """As variables of an environment; those that nobody has set are left out."""
    values = {
        MAX_BYTES: str(settings.max_xcom_bytes),
        FRAMES: settings.xcom_frames,
        BACKEND: settings.xcom_backend,
        MAX_MAP_LENGTH: str(settings.max_map_length),
    }
    return {name: text for name, text in values.items() if _is_set(settings, name)}


def give_to_tasks(settings: Settings) -> None:
    """Have the processes that are started from here find them."""
    os.environ.update(of_tasks(settings))


def _is_set(settings: Settings, variable: str) -> bool:
    return settings.origins[variable.removeprefix("TAILRACE_").lower()] != "default"
