"""The description of the API in OpenAPI 3.1, made of the same types by which it is read and replied."""

import json
from collections.abc import Mapping
from functools import cache
from types import GenericAlias
from typing import Any, get_args, get_origin

from msgspec.json import schema_components

from tailrace import __version__
from tailrace.service.pages import Listed
from tailrace.service.shown import Change
from tailrace.web.api.catalogue import OPERATIONS
from tailrace.web.event_stream import EventStream
from tailrace.web.operations import Noticed, Operation, Text
from tailrace.web.problems import MEDIA_TYPE, Problem
from tailrace.web.replies import JSON, TEXT, json_bytes
from tailrace.web.streaming import CHANGES, STREAMS

_REFERENCE = "#/components/schemas/{name}"
#: What is sent in events.
_TOLD = (Change,)
_TITLE = "Tailrace"
_ABOUT = (
    "The reading half of the API: what the command line shows with `-o json`, in the same JSON. Errors are "
    "`application/problem+json`, with the exit code, the sentences and the codes of the command line. A list goes on "
    "at the address in the header `Link`. A reply has an `ETag`, by which it need not be sent twice. Whoever has no "
    "session is sent 401: the address that the server prints begins one."
)


@cache
def document() -> Mapping[str, Any]:
    """The whole description."""
    every = (*OPERATIONS, *STREAMS)
    types = [_body_type(each) for each in every] + [each.asked for each in every] + [*_TOLD, Problem]
    schemas, components = schema_components(types, schema_hook=_schema_of, ref_template=_REFERENCE)
    bodies, asked = schemas[: len(every)], schemas[len(every) : 2 * len(every)]
    parameters = [_parameters(each, _found(schema, components)) for each, schema in zip(every, asked, strict=True)]
    operations = zip(every, bodies, parameters, strict=True)
    for each in asked:
        components.pop(_name(each), None)
    described = {
        "openapi": "3.1.0",
        "info": {"title": _TITLE, "version": __version__, "description": _ABOUT},
        "servers": [{"url": "/api/v1"}],
        "security": [{"session": []}],
        "paths": {each.path: {"get": _operation(each, body, given)} for each, body, given in operations},
        "components": {
            "schemas": components,
            "securitySchemes": {
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "tailrace-PORT",
                    "description": "Named by the port of the server. The address that the server prints begins one.",
                }
            },
            "responses": {"Problem": _problem("What was asked for cannot be replied to.")},
        },
    }
    found: Mapping[str, Any] = json.loads(json_bytes(described))
    return found


def _operation(operation: Operation, body: Mapping[str, Any], parameters: list[Any]) -> Mapping[str, Any]:
    first, _, rest = operation.summary.partition(". ")
    found: dict[str, Any] = {
        "operationId": operation.name,
        "summary": first.rstrip("."),
        "parameters": parameters,
        "responses": {
            "200": _found_reply(operation, body),
            "304": {"description": "It is as the `If-None-Match` of the request says."},
            "default": {"$ref": "#/components/responses/Problem"},
        },
    }
    return {**found, "description": rest} if rest else found


def _found_reply(operation: Operation, body: Mapping[str, Any]) -> Mapping[str, Any]:
    if operation.returned is EventStream:
        told = {"changes": {"type": "array", "items": {"$ref": _REFERENCE.format(name="Change")}}}
        more = {"x-data": told} if operation is CHANGES else {}
        return {"description": "Server-sent events.", "content": {"text/event-stream": {}}, **more}
    origin, headers = get_origin(operation.returned), {"ETag": _header("What the reply is known by.")}
    if operation.returned is Text:
        names = {"offset": "begins", "behind": "goes on", "size": "ends now"}
        headers |= {f"Tailrace-Log-{name.capitalize()}": _header(f"Where it {says}.") for name, says in names.items()}
        return {"description": "Text, as it was written.", "headers": headers, "content": {TEXT: {}}}
    if origin is Listed:
        headers["Link"] = _header('Where the list goes on (`rel="next"`); without it there is no more.')
    if origin is Noticed:
        headers["Tailrace-Notices"] = _header("What should be known of the reply, as a list in JSON.")
    return {"description": "What there is.", "headers": headers, "content": {JSON: {"schema": body}}}


def _header(text: str) -> Mapping[str, Any]:
    return {"description": text, "schema": {"type": "string"}}


def _problem(text: str) -> Mapping[str, Any]:
    return {"description": text, "content": {MEDIA_TYPE: {"schema": {"$ref": _REFERENCE.format(name="Problem")}}}}


def _body_type(operation: Operation) -> Any:
    """The type of what is sent: that of a page is the list of its items."""
    returned = operation.returned
    if get_origin(returned) is Listed:
        return GenericAlias(tuple, (get_args(returned)[0], ...))
    if get_origin(returned) is Noticed:
        return get_args(returned)[0]
    return Any if returned in (Text, EventStream) else returned


def _parameters(operation: Operation, schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    required = set(schema.get("required", ()))
    found: list[Mapping[str, Any]] = []
    for name, each in schema.get("properties", {}).items():
        in_path = name in operation.in_path
        described = {key: value for key, value in each.items() if key not in ("description", "default")}
        if "default" in each and each["default"] not in (None, ()):
            described["default"] = each["default"]
        parameter = {"name": name, "in": "path" if in_path else "query", "schema": _without_null(described)}
        if in_path or name in required:
            parameter["required"] = True
        if text := each.get("description") or _description(each):
            parameter["description"] = text
        found.append(parameter)
    return found


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that is left out is no null."""
    ways = [each for each in schema.pop("anyOf", ()) if each != {"type": "null"}]
    if len(ways) == 1:
        return {**schema, **{key: value for key, value in ways[0].items() if key != "description"}}
    return {**schema, "anyOf": ways} if ways else schema


def _description(schema: Mapping[str, Any]) -> str | None:
    """That of a parameter that may be left out is one level below."""
    return next((each["description"] for each in schema.get("anyOf", ()) if "description" in each), None)


def _found(schema: Mapping[str, Any], components: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = components[_name(schema)]
    return found


def _name(schema: Mapping[str, Any]) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _schema_of(kind: type) -> dict[str, Any]:
    """Any JSON, where a type says no more."""
    if kind is object:
        return {"description": "Any JSON."}
    raise NotImplementedError(kind)
