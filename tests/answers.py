"""What the OpenAPI document says of an answer, strictly: a field that nobody has described is a fault, too."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs

from chat.api.bodies import Body
from chat.api.documented import ERROR_CODES
from chat.api.documents import openapi

Json = dict[str, Any]
METHODS = ("get", "post", "put", "patch", "delete")


@functools.cache
def strict_document() -> Json:
    """The document, in which answers have no fields but those that are named."""
    document = copy.deepcopy(openapi())
    bodies = {kind.__name__ for kind in subclasses_of(Body)}
    for name, schema in document["components"]["schemas"].items():
        if name not in bodies and "properties" in schema:
            schema["additionalProperties"] = False
    return document


def subclasses_of(kind: type[Any]) -> Iterator[type[Any]]:
    for below in kind.__subclasses__():
        yield below
        yield from subclasses_of(below)


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Each as method, path and what is said of it."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def resolved(document: Json, part: Json) -> Json:
    """What a reference leads to; anything else is itself."""
    if "$ref" not in part:
        return part
    place: Any = document
    for step in part["$ref"].removeprefix("#/").split("/"):
        place = place[step]
    return resolved(document, place)


@functools.cache
def _patterns() -> list[tuple[str, re.Pattern[str], Json]]:
    """The more literal path first, as it is routed."""
    found = sorted(operations(strict_document()), key=lambda operation: operation[1].count("{"))
    return [(method, _pattern(path), operation) for method, path, operation in found]


def _pattern(path: str) -> re.Pattern[str]:
    """Of a path. The id of a tool call may have slashes."""
    parts = re.split(r"\{(\w+)\}", path)
    names = {"tool_call_id": ".+"}
    return re.compile("".join(names.get(part, "[^/]+") if at % 2 else re.escape(part) for at, part in enumerate(parts)))


def operation_of(method: str, path: str) -> Json | None:
    """The operation that a request is for, if there is one."""
    routed = [(known, pattern) for known, pattern, _ in _patterns() if pattern.fullmatch(path)][:1]
    for known, pattern, operation in _patterns():
        if known == method and pattern in [first for _, first in routed]:
            return operation
    return None


@functools.cache
def _validator(operation_id: str, status: str, media_type: str) -> jsonschema_rs.Draft202012Validator:
    document = strict_document()
    [answer] = [
        resolved(document, operation["responses"][status])
        for _, _, operation in operations(document)
        if operation["operationId"] == operation_id
    ]
    schema = {**answer["content"][media_type]["schema"], "components": document["components"]}
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


def assert_answer_conforms(method: str, path: str, status: int, headers: Mapping[str, str], body: Any) -> None:
    """The answer's status, headers, type, fields and code are among those that the document has for the operation."""
    operation = operation_of(method, path)
    if operation is None:
        return
    document, name = strict_document(), operation["operationId"]
    assert str(status) in operation["responses"], f"{name}: nobody has described {status}: {body}"
    answer = resolved(document, operation["responses"][str(status)])
    for header, reference in answer["headers"].items():
        given, described = headers.get(header), resolved(document, reference)
        assert given is not None or not described.get("required"), f"{name} {status}: {header} is missing"
        if given is not None and "pattern" in described["schema"]:
            assert re.search(described["schema"]["pattern"], given), f"{name} {status}: {header}: {given}"
    if status < 400:
        missing = {"RateLimit", "RateLimit-Policy"} - {header for header in answer["headers"] if header in headers}
        assert not missing, f"{name} {status}: what is left is not told: {missing}"
    media_type = headers.get("Content-Type", "").partition(";")[0]
    if "content" not in answer:
        assert not body, f"{name} {status}: there is a body: {body}"
        return
    assert media_type in answer["content"], f"{name} {status}: nobody has described {media_type}"
    if media_type == "application/json":
        found = _validator(name, str(status), media_type).iter_errors(body)
        problems = [f"{error.instance_path}: {error.message}" for error in found]
        assert problems == [], f"{name} {status}: {problems}"
        if ERROR_CODES in answer:
            assert body["error_code"] in answer[ERROR_CODES], f"{name} {status}: nobody has described {body}"
