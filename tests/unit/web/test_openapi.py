"""The description of the API is OpenAPI 3.1, whole, and says of each operation what it takes and sends.

``openapi-3.1.json`` is the specification's own schema, under Apache-2.0
(https://spec.openapis.org/oas/3.1/schema/2022-10-07).
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from tailrace.web.api.catalogue import OPERATIONS
from tailrace.web.openapi import document

SCHEMA = json.loads((Path(__file__).parent / "openapi-3.1.json").read_text())


def every(value: Any) -> Iterator[dict[str, Any]]:
    """Every object within."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from every(each)


def test_it_is_openapi() -> None:
    Draft202012Validator(SCHEMA).validate(document())
    broken = json.loads(json.dumps(document()))
    del broken["info"]["title"]
    assert list(Draft202012Validator(SCHEMA).iter_errors(broken))


def test_its_schemas_are_schemas_and_refer_to_what_is_there() -> None:
    schemas = document()["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    referred = {each["$ref"] for each in every(document()) if "$ref" in each}
    assert {each for each in referred if "schemas" in each} <= {f"#/components/schemas/{name}" for name in schemas}
    unused = {f"#/components/schemas/{name}" for name in schemas} - referred
    assert unused == set(), "nothing is described that is not sent"


def test_every_operation_is_in_it() -> None:
    paths = document()["paths"]
    assert {each.path for each in OPERATIONS} <= paths.keys()
    names = [each["get"]["operationId"] for each in paths.values()]
    assert len(names) == len(set(names))
    for path, each in paths.items():
        parameters = each["get"].get("parameters", [])
        assert {one["name"] for one in parameters if one["in"] == "path"} == set(re.findall(r"{(\w+)}", path))
        assert all(one["required"] for one in parameters if one["in"] == "path")
        assert each["get"]["summary"], path


def test_no_parameter_is_said_to_be_null() -> None:
    for path in document()["paths"].values():
        for parameter in path["get"].get("parameters", []):
            assert {"type": "null"} not in parameter["schema"].get("anyOf", [])
