"""A run's stored conf as it is shown. Somebody may have stored what is no JSON: that is shown too, and ends nothing."""

import json

from tailrace.model.json_values import read_json
from tailrace.model.plain_text import visible_line

_LONGEST = 200


def conf_json(text: str | None) -> object:
    """It as JSON; what cannot be read as JSON is its text as it stands."""
    try:
        return read_json(text) if text else {}
    except ValueError:
        return text


def conf_line(text: str) -> str:
    """It as a line for a person."""
    conf = conf_json(text)
    if isinstance(conf, dict):
        return f"conf {json.dumps(conf)}"
    return f"conf is no JSON object: {visible_line(text, _LONGEST)}"
