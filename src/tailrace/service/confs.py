"""A run's conf: how one that is given is checked."""

from tailrace.errors import CommandError
from tailrace.model.json_values import NotStorable, json_text, read_json
from tailrace.model.plain_text import visible_line


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
