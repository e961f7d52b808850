"""The document: servers, channels, operations and messages. Its shape is the AsyncAPI specification 3.0.0."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterable
from typing import Any, get_args

import pydantic_core
from pydantic import BaseModel

from chat.asyncapi import examples
from chat.asyncapi.codes import CLOSES, ERRORS
from chat.asyncapi.schemas import REFERENCE, schemas, table
from chat.protocol import (
    PROTOCOL,
    RUN_EVENTS,
    SUBPROTOCOLS,
    USER_MESSAGE_TYPES,
    Ack,
    ApprovalAccepted,
    Command,
    ConnectionEstablished,
    ErrorMessage,
    MessageAccepted,
    Ping,
    Pong,
    RefreshToken,
    Regenerate,
    Reply,
    ResolveApproval,
    Resume,
    Resumed,
    RunStopped,
    ServerDraining,
    ServerFrame,
    SnapshotRequired,
    StopRun,
    StreamEstablished,
    ThreadCreated,
    ThreadDeleted,
    ThreadUpdated,
    TokenExpiring,
    TokenRefreshed,
    UserMessage,
)

Types = tuple[type[BaseModel], ...]

REPLIES: dict[type[Command], type[Reply] | None] = {
    Ping: Pong,
    UserMessage: MessageAccepted,
    Regenerate: MessageAccepted,
    StopRun: RunStopped,
    Resume: Resumed,
    Ack: None,
    ResolveApproval: ApprovalAccepted,
    RefreshToken: TokenRefreshed,
}
THREADS: Types = (ThreadCreated, ThreadUpdated, ThreadDeleted)
UNASKED: Types = (ConnectionEstablished, SnapshotRequired, TokenExpiring, ServerDraining, ErrorMessage)
COMMANDS: Types = tuple(REPLIES)
SENT: Types = (
    *RUN_EVENTS,
    *THREADS,
    *UNASKED,
    *dict.fromkeys(reply for reply in REPLIES.values() if reply is not None),
)
AT_THE_END: Types = (SnapshotRequired, ServerDraining, ErrorMessage)
STREAMED: Types = (StreamEstablished, Resumed, *RUN_EVENTS, *THREADS, *AT_THE_END)
STREAMED_RUN: Types = (*RUN_EVENTS, *AT_THE_END)
TELLS: dict[str, tuple[str, Types, str]] = {
    "tell_run_events": ("socket", RUN_EVENTS, "What happens in the person's runs."),
    "tell_threads": ("socket", THREADS, "What changes in the person's list of threads."),
    "tell_connection": ("socket", UNASKED, "What concerns the connection itself."),
    "stream_events": ("events", STREAMED, "All of the person's runs."),
    "stream_run": ("run", STREAMED_RUN, "One run."),
}

INFO = f"""The socket of Netra, protocol `{PROTOCOL}`, and its streams of server-sent events.

Frames are text, one JSON object each. A field without a value is absent. The types are those of this version of the
server: a later one may add fields, types and codes, which clients leave alone. The order and repetition of run events,
acknowledgements and what a client does after a reconnect are in docs/protocol.md, section 5. `/api/openapi.json`
describes REST."""

SOCKET = f"""The first frame is `connection_established`, or an `error_message` that says why the socket is closed next.

A client that offers subprotocols offers one of {", ".join(f"`{name}`" for name in SUBPROTOCOLS)}, too, which the server
echoes. Pages of other sites are refused by their Origin.

"""

CREDENTIAL = "An item `jwt.<base64url of the access token, without padding>`, as browsers can send it."


@functools.cache
def document() -> dict[str, Any]:
    """The whole document, as JSON data. It is one object for all: not to be changed."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Netra", "version": "1.0.0", "description": INFO},
        "defaultContentType": "application/json",
        "servers": {protocol: _server(protocol) for protocol in ("wss", "ws", "https", "http")},
        "channels": _channels(),
        "operations": _operations(),
        "components": {
            "messages": {type_of(kind): _message(kind) for kind in (*COMMANDS, *SENT, *STREAMED)},
            "schemas": schemas(sent=(*SENT, StreamEstablished), read=COMMANDS),
            "correlationIds": {
                "ref": {"location": "$message.payload#/ref", "description": "A reply has the `ref` of its command."}
            },
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "An access token of `POST /api/auth/token`.",
                },
                "subprotocol": {
                    "type": "httpApiKey",
                    "in": "header",
                    "name": "Sec-WebSocket-Protocol",
                    "description": CREDENTIAL,
                },
            },
        },
    }


def type_of(kind: type[BaseModel]) -> str:
    """The `type` of its frames."""
    name: str = get_args(kind.model_fields["type"].annotation)[0]
    return name


def _server(protocol: str) -> dict[str, Any]:
    schemes = ["bearer", "subprotocol"] if protocol.startswith("ws") else ["bearer"]
    return {
        "host": "{host}",
        "protocol": protocol,
        "variables": {"host": {"default": "localhost:8000", "description": "Where this server is, with its port."}},
        "security": [{"$ref": f"#/components/securitySchemes/{scheme}"} for scheme in schemes],
    }


def _channels() -> dict[str, Any]:
    header = {"type": "object", "properties": {"Authorization": {"type": "string"}, "Origin": {"type": "string"}}}
    header["properties"]["Sec-WebSocket-Protocol"] = {"type": "string", "description": CREDENTIAL}  # type: ignore[index]
    closes = [f"| {close.code:d} | {close.when} | {close.client} |" for close in CLOSES]
    about_closes = ["| close code | when | the client |", "|---|---|---|", *closes]
    return {
        "socket": {
            "address": "/ws",
            "title": "The socket",
            "description": SOCKET + "\n".join(about_closes) + "\n\n" + table(ERRORS),
            "servers": _references("servers", ("wss", "ws")),
            "messages": _channel_messages((*COMMANDS, *SENT)),
            "bindings": {"ws": {"method": "GET", "headers": header, "bindingVersion": "0.1.0"}},
            "x-close-codes": [
                {"code": int(close.code), "when": close.when, "client": close.client} for close in CLOSES
            ],
            "x-error-codes": {code.value: meaning for code, meaning in ERRORS.items()},
        },
        "events": {
            "address": "/api/events",
            "title": "All of a person's runs, as server-sent events",
            "description": "`data:` is a frame. `id:` is where to go on: `Last-Event-ID`.",
            "servers": _references("servers", ("https", "http")),
            "messages": _channel_messages(STREAMED),
        },
        "run": {
            "address": "/api/runs/{run_id}/events",
            "title": "One run, as server-sent events",
            "description": "`data:` is a run event, `id:` its `seq`. It ends with the run, or where the run waits.",
            "servers": _references("servers", ("https", "http")),
            "parameters": {"run_id": {"description": "The run, as `message_accepted` names it."}},
            "messages": _channel_messages(STREAMED_RUN),
        },
    }


def _operations() -> dict[str, Any]:
    operations = {}
    for command, reply in REPLIES.items():
        name = type_of(command)
        operations[name] = {
            "action": "receive",
            "summary": _doc(command)[0],
            **_place("socket", (command,)),
            **({"reply": _place("socket", (reply, ErrorMessage))} if reply else {}),
        }
    for name, (channel, types, summary) in TELLS.items():
        operations[name] = {"action": "send", "summary": summary, **_place(channel, types)}
    return operations


def _place(channel: str, types: Types) -> dict[str, Any]:
    names = [type_of(kind) for kind in types]
    return {
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": _references(f"channels/{channel}/messages", names),
    }


def _references(path: str, names: Iterable[str]) -> list[dict[str, str]]:
    return [{"$ref": f"#/{path}/{name}"} for name in names]


def _channel_messages(types: Types) -> dict[str, Any]:
    return {type_of(kind): {"$ref": f"#/components/messages/{type_of(kind)}"} for kind in types}


def _message(kind: type[BaseModel]) -> dict[str, Any]:
    name = type_of(kind)
    summary, description = _doc(kind)
    message: dict[str, Any] = {
        "name": name,
        "title": " ".join(re.findall("[A-Z][a-z]+", kind.__name__)).capitalize(),
        "summary": summary,
        **({"description": description} if description else {}),
        "payload": {"$ref": REFERENCE.format(model=kind.__name__)},
        "examples": _examples()[name],
    }
    if issubclass(kind, Command | Reply):
        message["correlationId"] = {"$ref": "#/components/correlationIds/ref"}
    return message


def _doc(kind: type[BaseModel]) -> tuple[str, str]:
    """The first paragraph of its documentation, and the rest."""
    summary, _, description = (inspect.getdoc(kind) or "").partition("\n\n")
    return summary.replace("\n", " "), description


@functools.cache
def _examples() -> dict[str, list[dict[str, Any]]]:
    frames = [(summary, _decoded(frame)) for summary, frame in examples.FRAMES]
    found: dict[str, list[dict[str, Any]]] = {}
    for summary, payload in (*examples.COMMANDS, *frames, *examples.event_examples()):
        name = "user_message" if payload["type"] in USER_MESSAGE_TYPES else payload["type"]
        example = {**({"summary": summary} if summary else {}), "payload": payload}
        found.setdefault(name, []).append(example)
    return found


def _decoded(frame: ServerFrame) -> dict[str, Any]:
    payload: dict[str, Any] = pydantic_core.from_json(frame.encode())
    return payload
