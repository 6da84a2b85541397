"""The description of the API is OpenAPI 3.1, whole, and says of each operation what it takes and sends."""

import json
import re
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator

from tailrace.web.api.catalogue import OPERATIONS
from tailrace.web.openapi import document

TEXT = {"type": "string", "minLength": 1}


def _object(required: str, /, **properties: Any) -> dict[str, Any]:
    """An object with these properties and no other; those that are ``required`` are there."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
    }


def _each(schema: Any, named: str = ".") -> dict[str, Any]:
    """An object of any members, each of this schema, whose names fit."""
    return {"type": "object", "propertyNames": {"pattern": named}, "additionalProperties": schema, "minProperties": 1}


#: What OpenAPI 3.1.0 says of those of its objects that the document has (https://spec.openapis.org/oas/v3.1.0).
SCHEMA_OBJECT = {"type": "object"}
REFERENCE = _object("$ref", **{"$ref": TEXT})
MEDIA = _each(_object("", schema=SCHEMA_OBJECT), r"^[\w.+-]+/[\w.+*-]+(;.*)?$")
HEADER = {"anyOf": [REFERENCE, _object("schema", description=TEXT, schema=SCHEMA_OBJECT)]}
RESPONSE = _object("description", description=TEXT, headers=_each(HEADER), content=MEDIA)
PARAMETER = _object(
    "name in schema",
    **{"in": {"enum": ["path", "query", "header", "cookie"]}},
    name=TEXT,
    description=TEXT,
    required={"type": "boolean"},
    schema=SCHEMA_OBJECT,
)
OPERATION = _object(
    "responses",
    operationId={"type": "string", "pattern": r"^\w+$"},
    tags={"type": "array", "items": TEXT},
    summary=TEXT,
    description=TEXT,
    parameters={"type": "array", "items": {"anyOf": [REFERENCE, PARAMETER]}},
    responses=_each({"anyOf": [REFERENCE, RESPONSE]}, r"^([1-5](\d\d|XX)|default)$"),
    security={"type": "array", "items": {"type": "object"}},
)
DOCUMENT = _object(
    "openapi info paths",
    openapi={"type": "string", "pattern": r"^3\.1\.\d+$"},
    info=_object("title version", title=TEXT, version=TEXT, summary=TEXT, description=TEXT),
    servers={"type": "array", "items": _object("url", url=TEXT, description=TEXT)},
    security={"type": "array", "items": {"type": "object"}},
    paths=_each(_object("", get=OPERATION), "^/"),
    components=_object(
        "",
        schemas=_each(SCHEMA_OBJECT, r"^[\w.-]+$"),
        responses=_each(RESPONSE, r"^[\w.-]+$"),
        parameters=_each(PARAMETER, r"^[\w.-]+$"),
        headers=_each(HEADER, r"^[\w.-]+$"),
        securitySchemes=_each(_object("type", type=TEXT, name=TEXT, description=TEXT, **{"in": TEXT}), r"^[\w.-]+$"),
    ),
    tags={"type": "array", "items": _object("name", name=TEXT, description=TEXT)},
)


def every(value: Any) -> Iterator[dict[str, Any]]:
    """Every object within."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from every(each)


def test_it_is_openapi() -> None:
    Draft202012Validator(DOCUMENT).validate(document())
    broken = json.loads(json.dumps(document()))
    del broken["info"]["title"]
    assert list(Draft202012Validator(DOCUMENT).iter_errors(broken))


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
