"""What may pass between tasks: JSON, and nothing that only looks like it."""

import json
from datetime import date, datetime
from typing import Any


class NotJson(Exception):
    """A task returned or pushed something that is not JSON; the message says where and what to do."""


def as_json(value: Any, where: str) -> Any:
    """``value`` as JSON would give it back (tuples become lists, dates ISO text). Raises NotJson."""
    try:
        return json.loads(json.dumps(value, default=_dates, allow_nan=False))
    except (TypeError, ValueError) as wrong:
        raise NotJson(
            f"{where} must be JSON (text, numbers, lists, dicts with text keys): {wrong}; "
            f"return a path or a plain value instead"
        ) from None


def _dates(value: Any) -> str:
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not JSON")
