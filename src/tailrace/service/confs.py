"""A run's conf: how one that is given is checked."""

import json

from tailrace.authoring.arguments.param_schemas import faults_in
from tailrace.errors import CommandError
from tailrace.model.json_values import NotStorable, json_text, read_json
from tailrace.model.plain_text import visible_line
from tailrace.model.spec import DagSpec


def canonical_conf(text: str | None) -> str | None:
    """The conf as canonical JSON text, so that spacing and key order do not make another backfill; None if not given.

    Raises CommandError unless it is a JSON object, and comes to the tasks as it is.
    """
    if text is None:
        return None
    try:
        value = read_json(text)
    except NotStorable as refused:
        raise CommandError(f"--conf cannot be kept as it is: {refused}") from None
    except ValueError as mistake:
        raise CommandError(f"--conf is not JSON: {mistake}; write an object such as '{{\"key\": 1}}'") from None
    if not isinstance(value, dict):
        raise CommandError(f"--conf must be a JSON object such as '{{\"key\": 1}}', not {visible_line(text, 200)!r}")
    return json_text(value, sort_keys=True)


def require_params(dag: DagSpec, conf: str | None) -> None:
    """Raise CommandError unless runs of the DAG may be given this conf (canonical; None is none)."""
    faults = faults_in(dag.params, json.loads(conf) if conf else {}) if dag.params else []
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise CommandError(f"a run of {dag.dag_id} needs other params: {faults[0]}{more}")
