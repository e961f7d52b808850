"""The OpenAPI document: valid, current, complete; its examples are what is read and answered."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern
from drf_spectacular import validation
from pydantic import BaseModel

from chat.api.bodies import AskBody, Body, DecisionBody, ExecuteBody, MessageBody, RegenerateBody
from chat.api.codes import MEANINGS
from chat.api.documents import openapi
from chat.api.errors import STATUS_OF_CODE, NothingHere
from chat.api.examples import EXAMPLES
from chat.api.schemas import Shape
from chat.api.urls import urlpatterns
from chat.asyncapi.schemas import Untitled
from chat.errors import ErrorCode
from chat.models import ApprovedBy, CancelledBy, MessageFeedback, RunStatus
from chat.protocol import Regenerate, ResolveApproval, UserMessage
from chat.streams.routes import ROUTES
from tests.answers import METHODS, assert_answer_conforms, operations, resolved, strict_document, subclasses_of

ROOT = Path(__file__).resolve().parents[2]
OFFICIAL = Path(validation.__file__).with_name("openapi_3_1_schema.json")
OPERATIONS = {operation["operationId"]: (method, path, operation) for method, path, operation in operations(openapi())}
STREAM = "text/event-stream"


@pytest.fixture(scope="module")
def official() -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(json.loads(OFFICIAL.read_text()), validate_formats=True)


def parts_of(value: Any) -> Iterator[dict[str, Any]]:
    """Every object inside a JSON value, itself included."""
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from parts_of(part)


# The document


def test_it_is_made_without_a_warning(tmp_path: Path) -> None:
    written = tmp_path / "openapi.json"
    call_command("spectacular", validate=True, fail_on_warn=True, format="openapi-json", file=str(written))
    assert json.loads(written.read_text()) == openapi()


def test_it_is_valid(official: jsonschema_rs.Draft202012Validator) -> None:
    assert [f"{error.instance_path}: {error.message}" for error in official.iter_errors(openapi())] == []
    for schema in openapi()["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("openapi",), "2.0"),
        (("info",), {"title": "Netra"}),
        (("paths", "/api/me", "get", "responses"), []),
        (("paths", "/api/me", "get", "operationId"), None),
        (("paths", "/api/runs", "get", "parameters"), [{"name": "limit"}]),
        (("components", "securitySchemes", "bearer"), {"type": "http"}),
        (("components", "headers", "ETag"), {"description": "nothing else"}),
    ],
)
def test_an_invalid_one_would_be_noticed(
    official: jsonschema_rs.Draft202012Validator, path: tuple[str, ...], value: Any
) -> None:
    changed = copy.deepcopy(openapi())
    *way, name = path
    place: Any = changed
    for step in way:
        place = place[step]
    assert name in place
    place[name] = value
    assert not official.is_valid(changed)


def test_the_committed_file_is_current() -> None:
    written = subprocess.run([sys.executable, "-m", "chat.api"], cwd=ROOT, check=True, capture_output=True)
    committed = (ROOT / "docs/openapi.json").read_bytes()
    assert committed == written.stdout, "run `python -m chat.api > docs/openapi.json`"


@pytest.mark.django_db
def test_it_is_served_to_everybody() -> None:
    response = Client().get("/api/openapi.json")
    assert (response.status_code, response["Content-Type"], response.json()) == (200, "application/json", openapi())


def test_every_reference_leads_somewhere_and_every_component_is_used() -> None:
    references = [part["$ref"] for part in parts_of(openapi()) if "$ref" in part]
    assert len(references) > 100
    for reference in references:
        assert resolved(openapi(), {"$ref": reference})
    components = openapi()["components"]
    for kind in ("schemas", "headers", "examples", "responses"):
        assert {f"#/components/{kind}/{name}" for name in components[kind]} <= set(references)


# Its operations


def path_of(pattern: URLPattern) -> str:
    return "/api/" + re.sub(r"<\w+:(\w+)>", r"{\1}", str(pattern.pattern))


def test_every_path_and_method_there_is_is_in_it() -> None:
    views: dict[str, Any] = {path_of(pattern): vars(pattern.callback)["view_class"] for pattern in urlpatterns}
    [nothing_here] = [path for path, view in views.items() if view is NothingHere]
    served = {
        (method.upper(), path)
        for path, view in views.items()
        for method in METHODS
        if hasattr(view, method) and path != nothing_here and view.schema is not None
    }
    assert served == {(method, path) for method, path, _ in OPERATIONS.values()}


def test_every_stream_there_is_is_in_it() -> None:
    streamed = {(method, path) for method, path, operation in OPERATIONS.values() if STREAM in json.dumps(operation)}
    filled = {(method, re.sub(r"\{(\w+)\}", lambda name: NAMED.get(name[1], "x"), path)) for method, path in streamed}
    for method, pattern, _ in ROUTES:
        assert any(known == method and pattern.fullmatch(path) for known, path in filled), pattern
    for method, path in filled:
        assert any(known == method and pattern.fullmatch(path) for known, pattern, _ in ROUTES), path


NAMED = {"run_id": "0d9b3c52-7d0b-4a3e-8f5e-2b0f5f4c9e21", "name": "assistant"}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_says_what_it_is(name: str) -> None:
    _, _, operation = OPERATIONS[name]
    tags = {tag["name"]: tag["description"] for tag in openapi()["tags"]}
    assert operation["summary"].endswith(".")
    assert [tags[tag] for tag in operation["tags"]]
    assert operation["security"] in ([], [{"bearer": []}])
    for parameter in operation.get("parameters", []):
        assert parameter["description"].endswith("."), parameter
    for status, answer in operation["responses"].items():
        described = resolved(openapi(), answer)
        assert described["description"] not in ("", "No response body")
        assert "X-Correlation-Id" in described["headers"]
        assert ("x-error-codes" in described) == (int(status) >= 400)
    for kind, body in operation.get("requestBody", {"content": {}})["content"].items():
        assert resolved(openapi(), body["schema"])["examples"], kind


def test_ids_of_operations_are_all_different_and_good_names_for_functions() -> None:
    names = [operation["operationId"] for _, _, operation in operations(openapi())]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in names)


def test_who_has_no_token_is_told_so_wherever_one_is_needed() -> None:
    for _, _, operation in OPERATIONS.values():
        codes = set(resolved(openapi(), operation["responses"].get("401", {})).get("x-error-codes", []))
        assert ({"NO_TOKEN", "INVALID_TOKEN", "TOKEN_EXPIRED", "USER_INACTIVE"} <= codes) == bool(operation["security"])


def test_a_link_names_an_operation_and_fills_its_path() -> None:
    links = [part["links"] for part in parts_of(openapi()) if "links" in part]
    assert len(links) >= 10
    for name, link in ((name, link) for group in links for name, link in group.items()):
        assert link["operationId"] == name
        assert set(link["parameters"]) == set(re.findall(r"\{(\w+)\}", OPERATIONS[name][1]))


# What they take and answer


def test_every_code_has_its_meaning_and_is_an_error_of_some_operation() -> None:
    named = {code for part in parts_of(openapi()["components"]) for code in part.get("x-error-codes", [])}
    named |= {code for part in parts_of(openapi()["paths"]) for code in part.get("x-error-codes", [])}
    assert set(STATUS_OF_CODE) - named == {ErrorCode.METHOD_NOT_ALLOWED}, "of no operation, and in the introduction"
    assert set(MEANINGS) >= named
    assert all(f"`{code}`" in openapi()["info"]["description"] for code in {*named, "METHOD_NOT_ALLOWED"})


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
def test_an_example_is_as_its_type(kind: type[BaseModel]) -> None:
    schemas = {"components": strict_document()["components"]}
    schema = schemas | {"$ref": f"#/components/schemas/{kind.__name__}"}
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    assert [error.message for error in validator.iter_errors(EXAMPLES[kind])] == []
    if issubclass(kind, Body):
        kind.model_validate(EXAMPLES[kind])


def test_every_body_has_an_example() -> None:
    used = {kind for kind in subclasses_of(Body) if kind.__name__ in openapi()["components"]["schemas"]}
    assert len(used) >= 10
    assert used <= set(EXAMPLES)


@pytest.mark.parametrize(
    ("body", "command", "renamed"),
    [
        (MessageBody, UserMessage, {}),
        (AskBody, UserMessage, {"message": "content"}),
        (ExecuteBody, UserMessage, {"message": "content", "type": "agent"}),
        (RegenerateBody, Regenerate, {}),
        (DecisionBody, ResolveApproval, {}),
    ],
)
def test_a_body_that_is_read_as_a_command_is_described_as_the_command(
    body: type[Body], command: type[BaseModel], renamed: dict[str, str]
) -> None:
    described = body.model_json_schema(schema_generator=Untitled)["properties"]
    read = command.model_json_schema(schema_generator=Untitled)["properties"]
    for name, schema in described.items():
        known = read[renamed.get(name, name)]
        alike = {key: value for key, value in schema.items() if key not in ("description", "minLength")}
        optional = [part for part in known.get("anyOf", []) if part != {"type": "null"}]
        assert alike == {key: value for key, value in known.items() if key != "description"} or schema["type"] == (
            optional[0]["type"] if optional else None
        )


def test_what_may_stand_in_a_field_is_what_the_database_has() -> None:
    schemas = openapi()["components"]["schemas"]
    assert schemas["Run"]["properties"]["status"]["enum"] == RunStatus.values
    assert schemas["Run"]["properties"]["cancelled_by"]["anyOf"][0]["enum"] == CancelledBy.values
    assert schemas["Approval"]["properties"]["by"]["anyOf"][0]["enum"] == ApprovedBy.values
    assert schemas["Feedback"]["properties"]["rating"]["enum"] == MessageFeedback.Rating.values
    assert schemas["FeedbackBody"]["properties"]["rating"]["enum"] == MessageFeedback.Rating.values


def test_every_field_of_an_answer_is_always_there() -> None:
    for kind in subclasses_of(Shape):
        schema = openapi()["components"]["schemas"].get(kind.__name__)
        assert schema is not None, f"{kind.__name__} is described and never answered"
        assert set(schema["required"]) == set(schema["properties"])


# That a test would notice an answer that is not as described


PERSON = {"id": "7", "username": "ann", "email": "", "is_staff": False, "default_agent": None}
HEADERS = {
    "Content-Type": "application/json",
    "X-Correlation-Id": "5f1d3c9a7b2e4860",
    "RateLimit-Policy": '"requests";q=1200;w=60',
    "RateLimit": '"requests";r=1199;t=60',
}
ERROR: dict[str, Any] = {"error_code": "NO_TOKEN", "error_message": "No", "details": {}, "correlation_id": None}


def test_an_answer_as_described_conforms() -> None:
    assert_answer_conforms("GET", "/api/me", 200, HEADERS, PERSON)
    assert_answer_conforms("GET", "/api/me", 401, HEADERS | {"WWW-Authenticate": 'Bearer realm="api"'}, ERROR)


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (201, {}, PERSON),
        (200, {}, PERSON | {"password": "secret"}),
        (200, {}, {"id": "7"}),
        (200, {}, PERSON | {"id": 7}),
        (200, {"Content-Type": "text/html"}, PERSON),
        (200, {"X-Correlation-Id": "none"}, PERSON),
        (200, {"RateLimit": "limit=1200, remaining=1199"}, PERSON),
        (401, {}, ERROR),
        (401, {"WWW-Authenticate": 'Bearer realm="api"'}, ERROR | {"error_code": "INVALID_CREDENTIALS"}),
    ],
)
def test_an_answer_that_is_not_as_described_does_not_conform(status: int, headers: dict[str, str], body: Any) -> None:
    with pytest.raises(AssertionError):
        assert_answer_conforms("GET", "/api/me", status, HEADERS | headers, body)


@pytest.mark.parametrize("name", ["RateLimit", "RateLimit-Policy", "X-Correlation-Id"])
def test_a_header_that_is_missing_is_noticed(name: str) -> None:
    headers = {header: value for header, value in HEADERS.items() if header != name}
    with pytest.raises(AssertionError, match=name):
        assert_answer_conforms("GET", "/api/me", 200, headers, PERSON)
