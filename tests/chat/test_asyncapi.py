"""The AsyncAPI document: valid, current, complete; its examples are what is read and sent."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import jsonschema_rs
import pytest
from django.test import Client
from pydantic import BaseModel

from agents.events import AgentEvent
from chat.asyncapi import document
from chat.asyncapi.codes import CLOSES
from chat.errors import ChatError, CloseCode, ErrorCode
from chat.models import ApprovedBy, CancelledBy, RunStatus
from chat.protocol import RUN_EVENTS, USER_MESSAGE_TYPES, Command, Reply, RunEvent, ServerFrame, parse_command
from chat.protocol.commands import COMMANDS
from chat.protocol.parts import Resolver, Status
from tests.conformance import sent_types, validator_of

ROOT = Path(__file__).resolve().parents[2]
OFFICIAL = ROOT / "web/node_modules/@asyncapi/specs/schemas/3.0.0.json"
MESSAGES: dict[str, dict[str, Any]] = document()["components"]["messages"]
EXAMPLES = [(name, example["payload"]) for name, message in MESSAGES.items() for example in message["examples"]]


@pytest.fixture(scope="module")
def official() -> jsonschema_rs.Draft7Validator:
    return jsonschema_rs.Draft7Validator(json.loads(OFFICIAL.read_text()), validate_formats=True)


def parts_of(value: Any) -> Iterator[dict[str, Any]]:
    """Every object inside a JSON value, itself included."""
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from parts_of(part)


# The document


def test_it_is_valid(official: jsonschema_rs.Draft7Validator) -> None:
    assert [f"{error.instance_path}: {error.message}" for error in official.iter_errors(document())] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("asyncapi",), "2.6.0"),
        (("operations", "ping", "action"), "publish"),
        (("operations", "ping", "channel"), "socket"),
        (("components", "securitySchemes", "bearer", "scheme"), "bear"),
        (("components", "messages", "pong", "examples"), [{"summary": "nothing"}]),
        (("components", "schemas", "Pong", "type"), "text"),
    ],
)
def test_an_invalid_one_would_be_noticed(
    official: jsonschema_rs.Draft7Validator, path: tuple[str, ...], value: Any
) -> None:
    changed = copy.deepcopy(document())
    *way, name = path
    place: Any = changed
    for step in way:
        place = place[step]
    place[name] = value
    assert not official.is_valid(changed)


def test_the_committed_file_is_current() -> None:
    written = subprocess.run([sys.executable, "-m", "chat.asyncapi"], cwd=ROOT, check=True, capture_output=True)
    committed = (ROOT / "docs/asyncapi.json").read_bytes()
    assert committed == written.stdout, "run `python -m chat.asyncapi > docs/asyncapi.json`"


@pytest.mark.django_db
def test_it_is_served_to_everybody() -> None:
    response = Client().get("/api/asyncapi.json")
    assert (response.status_code, response["Content-Type"], response.json()) == (200, "application/json", document())


def test_every_reference_leads_somewhere_and_stands_alone() -> None:
    references = [part for part in parts_of(document()) if "$ref" in part]
    assert len(references) > 100
    for part in references:
        root, *way = part["$ref"].split("/")
        assert (root, list(part)) == ("#", ["$ref"])
        place: Any = document()
        for step in way:
            place = place[step]


def test_nothing_is_described_that_is_not_used() -> None:
    used = {part["$ref"].rpartition("/")[2] for part in parts_of(document()) if "$ref" in part}
    components = document()["components"]
    assert {*components["schemas"], *components["messages"]} <= used


# The messages


def wire_types(base: type[ServerFrame]) -> set[str]:
    """The `type` of each frame below a class."""
    below = {name for kind in base.__subclasses__() for name in wire_types(kind)}
    field = base.model_fields.get("type")
    return below | (set(get_args(field.annotation)) if field else set())


def test_every_command_and_frame_there_is_is_in_it() -> None:
    run_events = {get_args(kind.model_fields["type"].annotation)[0] for kind in RUN_EVENTS}
    assert sent_types() == wire_types(ServerFrame) | run_events
    commands = set(COMMANDS) - set(USER_MESSAGE_TYPES) | {"user_message"}
    assert set(MESSAGES) == sent_types() | commands
    received = [value for value in document()["operations"].values() if value["action"] == "receive"]
    assert {value["messages"][0]["$ref"].rpartition("/")[2] for value in received} == commands
    assert document()["components"]["schemas"]["UserMessage"]["properties"]["type"]["enum"] == list(USER_MESSAGE_TYPES)


def test_every_event_of_an_agent_is_in_it() -> None:
    kinds = {kind.__dataclass_fields__["type"].default for kind in get_args(AgentEvent)}
    assert kinds - {"agent_paused"} <= sent_types()


def test_every_reply_has_the_ref_of_its_command() -> None:
    with_ref = {name for name, message in MESSAGES.items() if "correlationId" in message}
    assert with_ref == wire_types(Reply) | (set(MESSAGES) - sent_types())


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_says_what_it_is(name: str) -> None:
    message = MESSAGES[name]
    bases = {base.__doc__ for base in (ServerFrame, Reply, RunEvent, Command, BaseModel)}
    assert message["title"]
    assert message["examples"]
    assert message["summary"].endswith((".", "?"))
    assert not any(doc and doc.startswith(message["summary"]) for doc in bases)


@pytest.mark.parametrize(("name", "payload"), EXAMPLES)
def test_an_example_is_as_its_message(name: str, payload: dict[str, Any]) -> None:
    assert [error.message for error in validator_of(name).iter_errors(payload)] == []
    if name not in sent_types():
        parse_command(json.dumps(payload), max_bytes=65_536)


@pytest.mark.parametrize(("name", "payload"), [case for case in EXAMPLES if case[0] not in sent_types()])
def test_a_command_without_a_field_that_it_requires_is_refused(name: str, payload: dict[str, Any]) -> None:
    schema = document()["components"]["schemas"][MESSAGES[name]["payload"]["$ref"].rpartition("/")[2]]
    for field in set(schema["required"]) - {"type"}:
        lacking = {key: value for key, value in payload.items() if key != field}
        assert not validator_of(name).is_valid(lacking)
        with pytest.raises(ChatError) as refused:
            parse_command(json.dumps(lacking), max_bytes=65_536)
        assert refused.value.code == ErrorCode.INVALID_MESSAGE


def test_codes_are_those_of_the_protocol() -> None:
    text = (ROOT / "docs/protocol.md").read_text().partition("## 4.")[2].partition("## 5.")[0]
    socket = document()["channels"]["socket"]
    named = {code for code in ErrorCode if f"`{code}`" in text.partition("Close codes")[0]}
    of_runs = document()["components"]["schemas"]["AgentErrorData"]["properties"]["error_code"]["description"]
    assert named == set(socket["x-error-codes"]) | {code for code in ErrorCode if f"`{code}`" in of_runs}
    assert set(CloseCode) <= {close.code for close in CLOSES}
    assert all(str(close.code) in text and str(close.code) in socket["description"] for close in CLOSES)


def test_what_may_stand_in_a_field_is_what_the_database_has() -> None:
    schemas = document()["components"]["schemas"]
    assert list(get_args(Status)) == RunStatus.values
    assert list(get_args(Resolver)) == ApprovedBy.values
    assert schemas["AgentCancelledData"]["properties"]["by"]["enum"] == CancelledBy.values
