"""Frames are as the AsyncAPI document has them: all fields that it requires, and none that it does not name."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs

from chat.asyncapi import document


def assert_conforms(frame: Mapping[str, Any]) -> None:
    """A frame that the server has sent, on a socket or in a stream."""
    kind = frame.get("type")
    assert kind in sent_types(), f"the document has no frame of the type {kind!r}"
    problems = [f"{'.'.join(map(str, error.instance_path))}: {error.message}" for error in _errors(str(kind), frame)]
    assert not problems, f"{kind} is not as the document has it: {problems}"


@functools.cache
def sent_types() -> frozenset[str]:
    """The messages that the server sends, unasked or in reply."""
    operations = document()["operations"].values()
    sent = [operation for operation in operations if operation["action"] == "send"]
    sent += [operation["reply"] for operation in operations if "reply" in operation]
    return frozenset(message["$ref"].rpartition("/")[2] for place in sent for message in place["messages"])


@functools.cache
def validator_of(kind: str) -> jsonschema_rs.Draft7Validator:
    """For the payload of a message. AsyncAPI's schemas are those of draft 7; ids are checked, too."""
    components = document()["components"]
    schema = {"allOf": [components["messages"][kind]["payload"]], "components": components}
    return jsonschema_rs.Draft7Validator(schema, validate_formats=True, formats={"uuid": _is_uuid})


def _errors(kind: str, frame: Mapping[str, Any]) -> Iterator[jsonschema_rs.ValidationError]:
    return iter(validator_of(kind).iter_errors(dict(frame)))


def _is_uuid(text: str) -> bool:
    head, *parts = text.split("-")
    return [len(part) for part in (head, *parts)] == [8, 4, 4, 4, 12] and set(text) <= set("0123456789abcdef-")
