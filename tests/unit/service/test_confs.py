"""A stored conf is shown whatever it is: as JSON, or as the text that somebody stored instead."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.cli.commands.runs import conf_line
from tailrace.model.json_values import json_or_text as conf_json
from tailrace.model.json_values import json_text


def test_a_conf_is_shown_as_it_was_given() -> None:
    assert conf_json(None) == {}
    assert conf_json('{"k":[1,"é"]}') == {"k": [1, "é"]}
    assert conf_line(conf_json('{"k":1}')) == 'conf {"k": 1}'


@pytest.mark.parametrize("stored", ['{"threshold":Infinity}', '{"n":1e400}', "[" * 100_000, '{"k":1', '{"k":1,"k":2}'])
def test_what_is_no_json_is_shown_as_it_stands(stored: str) -> None:
    assert conf_json(stored) == stored
    assert conf_line(conf_json(stored)).startswith(f"conf is no JSON object: {stored[:20]}")


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.booleans() | st.none(), min_size=1))
def test_every_object_comes_back(conf: dict[str, object]) -> None:
    assert conf_json(json_text(conf)) == conf


@given(st.text(min_size=1) | st.text('[]{}:,"\\0123eE.-+NaInfity\x1b\n', min_size=1))
def test_any_text_is_one_short_line_or_json(stored: str) -> None:
    json.dumps(conf_json(stored), allow_nan=False)
    line = conf_line(conf_json(stored))
    assert len(line.splitlines()) == 1 and "\x1b" not in line
    assert line.startswith("conf {") or len(line) < 250
