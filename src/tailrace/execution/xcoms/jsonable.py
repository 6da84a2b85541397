"""What may pass between tasks: JSON, and nothing that only looks like it."""

from typing import Any

from tailrace.model.json_values import stored_form


class NotJson(Exception):
    """A task returned or pushed something that is not JSON; the message says where and what to do."""


def as_json(value: Any, where: str) -> Any:
    """``value`` as JSON will give it back (tuples become lists, dates ISO text). Raises NotJson."""
    try:
        return stored_form(value)
    except (TypeError, ValueError) as wrong:
        raise NotJson(
            f"{where} must be JSON (text, numbers, lists, dicts with text keys): {wrong}; "
            f"return a path or a plain value instead"
        ) from None
