"""The OpenAPI document, made whole: what holds for all operations is said here, and not by each view.

No I/O. Its shape is the OpenAPI specification 3.1.0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

from chat.api import codes
from chat.api.documented import ERROR_CODES, EVENT_STREAM
from chat.api.errors import STATUS_OF_CODE
from chat.api.examples import EXAMPLES, STREAM, STREAM_OF
from chat.api.schemas import Error
from chat.asyncapi.schemas import Untitled, table
from chat.errors import ErrorCode

Json = dict[str, Any]

ABOUT = """Threads, messages, runs and their events over HTTP.

**Signing in.** `POST /api/auth/token` gives an access token, which every other request carries as
`Authorization: Bearer <token>`, and a refresh token, for which `POST /api/auth/token/refresh` gives the next of both.

**Asking.** `POST /api/agents/execute` or `POST /api/threads/{thread_id}/messages` begins a run and answers at once with
its id. What happens in the run can be read from `GET /api/runs/{run_id}/events`, now or as a stream, and its answer
from the thread's messages. A client that names its own `message_id` may repeat the request: nothing is asked twice.

**Streams.** With `Accept: text/event-stream` an operation that says so answers with server-sent events: `data:` is one
JSON object, `id:` the place to go on from with `Last-Event-ID`. `GET /api/asyncapi.json` describes these objects, and
the socket that carries the same.

**Pages.** A list has `next` (or `previous`) where more follows; given as `cursor` (or `before`) it is the next page.
What is written meanwhile moves nothing.

**Limits.** Requests are counted per user, and without a valid token per address. `RateLimit-Policy` and `RateLimit` of
an answer tell what is allowed and what is left; a request too many is answered with 429 and `Retry-After`.

**Errors** have one shape, `Error`, and one of these codes. Each answer has an `X-Correlation-Id`; it is in the server's
log. A path without the method that was used answers 405 `METHOD_NOT_ALLOWED`, with `Allow`.

%s

Fields without a value are null. A later version may add fields and codes, which clients leave alone."""

TAGS = {
    "sessions": "Signing in and out, here and elsewhere.",
    "accounts": "Who is signed in; registering, passwords, all that is kept, and the end of it.",
    "threads": "The person's conversations.",
    "messages": "What was said in a thread, in branches; saying more; what the person thinks of an answer.",
    "attachments": "Files for messages: images and text.",
    "runs": "Each question is a run of an agent: its state, its events, its end.",
    "approvals": "Tool calls that wait for the person.",
    "agents": "Who can be asked, with which tools, and asking.",
    "notes": "What agents remember for the person.",
    "usage": "What requests to models have cost.",
    "documents": "This document, and the one of the socket and the streams.",
}

HEADERS: dict[str, Json] = {
    "X-Correlation-Id": {
        "description": "In the server's log, the lines of this request have it.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
    },
    "ETag": {
        "description": "Names what a person can change of the thread, for `If-Match`.",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[0-9a-f]+"$'},
    },
    "Location": {
        "description": "The path of the run that was begun.",
        "required": True,
        "schema": {"type": "string", "pattern": "^/api/runs/"},
    },
    "Content-Disposition": {
        "description": "The name of the file.",
        "required": True,
        "schema": {"type": "string", "pattern": "^(attachment|inline); filename"},
    },
    "Retry-After": {
        "description": "After as many seconds it may be tried again.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "RateLimit-Policy": {
        "description": "How many requests (`q`) are allowed in how many seconds (`w`): of a user, or, without a valid "
        "token, of an address (draft-ietf-httpapi-ratelimit-headers-10).",
        "schema": {"type": "string", "pattern": '^"requests";q=[0-9]+;w=60$'},
    },
    "RateLimit": {
        "description": "How many of them are left (`r`), and in how many seconds there are more (`t`).",
        "schema": {"type": "string", "pattern": '^"requests";r=[0-9]+;t=[0-9]+$'},
    },
    "WWW-Authenticate": {
        "description": "How to authenticate: with a bearer token.",
        "required": True,
        "schema": {"type": "string", "const": 'Bearer realm="api"'},
    },
    "Set-Cookie": {
        "description": "`netra_refresh`, the refresh token, where the body asked for it as a cookie.",
        "schema": {"type": "string"},
    },
}
_OF_ALL = ["X-Correlation-Id", "RateLimit-Policy", "RateLimit"]
_OF_STATUS = {401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"]}

PARAMETERS: dict[str, Json] = {
    "thread_id": {"description": "One of the person's threads."},
    "attachment_id": {"description": "One of the person's files."},
    "message_id": {"description": "A message in one of the person's threads."},
    "run_id": {"description": "One of the person's runs."},
    "session_id": {"description": "One of the person's sessions."},
    "note_id": {"description": "One of the person's notes.", "schema": {"type": "integer", "minimum": 0}},
    "seq": {
        "description": "The `seq` of the event whose `result` is truncated.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "tool_call_id": {"description": "The tool call, as `approval_required` names it."},
    "name": {
        "description": "An agent's name, as `GET /api/agents` has it.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 64},
    },
}

# What an answer names, and some of what can be done with it next.
_BEGUN = ({"run_id": "/run_id"}, ["get_run", "list_run_events", "list_run_approvals", "cancel_run"])
LINKS: dict[str, tuple[dict[str, str], list[str]]] = {
    "list_sessions": ({"session_id": "/sessions/0/id"}, ["end_session"]),
    "list_notes": ({"note_id": "/notes/0/id"}, ["forget_note"]),
    "create_thread": (
        {"thread_id": "/id"},
        [
            "get_thread",
            "change_thread",
            "delete_thread",
            "restore_thread",
            "post_message",
            "list_messages",
            "export_markdown",
        ],
    ),
    "upload_attachment": ({"attachment_id": "/id"}, ["get_attachment", "delete_attachment"]),
    "list_threads": ({"thread_id": "/threads/0/id"}, ["get_thread", "list_messages", "post_message", "export_json"]),
    "list_messages": ({"message_id": "/messages/0/id"}, ["get_message", "regenerate_answer"]),
    "post_message": _BEGUN,
    "regenerate_answer": _BEGUN,
    "ask_agent": _BEGUN,
    "execute": _BEGUN,
    "retry_run": _BEGUN,
    "get_run": ({"message_id": "/output_message_id"}, ["get_message", "give_feedback", "get_feedback"]),
    "cancel_run": ({"run_id": "/run_id"}, ["get_run", "retry_run"]),
    "list_runs": ({"run_id": "/runs/0/id"}, ["get_run", "list_run_events", "retry_run"]),
    "list_approvals": (
        {"run_id": "/approvals/0/run_id", "tool_call_id": "/approvals/0/tool_call_id"},
        ["resolve_approval"],
    ),
}


def complete(result: Json, **_context: Any) -> Json:
    """drf-spectacular's hook: the whole document, from what it has made of the views."""
    operations = list(_operations(result["paths"]))
    for path, operation in operations:
        operation.setdefault("security", [])
        _require_body(operation, result["components"]["schemas"])
        _describe_parameters(operation)
        _add_links(operation)
        _add_errors(path, operation)
        _complete_answers(operation)
    schemas = result["components"]["schemas"]
    schemas["Error"] = Error.model_json_schema(schema_generator=Untitled, mode="serialization")
    schemas["Error"]["properties"]["error_code"]["examples"] = [ErrorCode.THREAD_NOT_FOUND.value]
    for kind, example in EXAMPLES.items():
        schemas[kind.__name__]["examples"] = [example]
    used = sorted({code for _, operation in operations for code in _codes_of(operation)})
    result["components"] |= {
        "schemas": dict(sorted(schemas.items())),
        "headers": HEADERS,
        "examples": {code: {"summary": codes.MEANINGS[code], "value": codes.example(code)} for code in used},
        "responses": _shared_answers([operation for _, operation in operations]),
    }
    return {
        "openapi": result["openapi"],
        "info": {**result["info"], "description": ABOUT % table({code: codes.MEANINGS[code] for code in used})},
        "servers": [{"url": "/", "description": "The server that has this document."}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": result["paths"],
        "components": result["components"],
    }


def _operations(paths: Json) -> Iterator[tuple[str, Json]]:
    for path, item in paths.items():
        for operation in item.values():
            yield path, operation


def _require_body(operation: Json, schemas: Json) -> None:
    """Who needs no token always sends JSON, even if nothing is in it: a page of another site could send anything else.

    drf-spectacular requires a body that has required fields, but not one that must have any of its fields.
    """
    body = operation.get("requestBody", {})
    [reference] = [media["schema"]["$ref"] for media in body.get("content", {}).values()] or [""]
    if body and (not operation["security"] or "anyOf" in schemas[reference.rpartition("/")[2]]):
        body["required"] = True


def _describe_parameters(operation: Json) -> None:
    for parameter in operation.get("parameters", []):
        parameter["schema"].pop("x-spec-enum-id", None)
        if parameter["in"] == "path":
            parameter.update(PARAMETERS[parameter["name"]])


def _add_links(operation: Json) -> None:
    pointers, targets = LINKS.get(operation["operationId"], ({}, []))
    parameters = {name: f"$response.body#{pointer}" for name, pointer in pointers.items()}
    for answer in operation["responses"].values():
        if targets and "application/json" in answer.get("content", {}):
            answer["links"] = {target: {"operationId": target, "parameters": parameters} for target in targets}


def _add_errors(path: str, operation: Json) -> None:
    """An answer for each status, with its codes."""
    raised = set(operation.pop(ERROR_CODES))
    if "{" in path:
        raised.add(ErrorCode.NOT_FOUND)  # what is no id is no path
    by_status: dict[int, list[ErrorCode]] = {}
    for code in sorted(raised):
        by_status.setdefault(STATUS_OF_CODE.get(code, HTTPStatus.BAD_REQUEST), []).append(ErrorCode(code))
    for status, named in sorted(by_status.items()):
        operation["responses"][str(status)] = {
            "description": "\n".join(f"- `{code}`: {codes.MEANINGS[code]}" for code in named),
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/Error"},
                    "examples": {code.value: {"$ref": f"#/components/examples/{code}"} for code in named},
                }
            },
            ERROR_CODES: [code.value for code in named],
        }


def _complete_answers(operation: Json) -> None:
    for status, answer in operation["responses"].items():
        named = [
            "X-Correlation-Id",
            "RateLimit-Policy",
            "RateLimit",
            *answer.get("headers", {}),
            *_OF_STATUS.get(int(status), []),
        ]
        answer["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in named}
        if EVENT_STREAM in answer.get("content", {}):
            answer["content"][EVENT_STREAM] = {
                "schema": {"type": "string", "description": "Server-sent events (HTML standard, section 9.2)."},
                "examples": {"events": {"value": STREAM_OF.get(operation["operationId"], STREAM)}},
            }


def _codes_of(operation: Json) -> Iterable[ErrorCode]:
    return (ErrorCode(code) for answer in operation["responses"].values() for code in answer.get(ERROR_CODES, []))


def _shared_answers(operations: list[Json]) -> Json:
    """The most frequent error answer of each status, which operations then refer to."""
    counted: dict[str, Counter[tuple[str, ...]]] = {}
    for operation in operations:
        for status, answer in operation["responses"].items():
            if ERROR_CODES in answer:
                counted.setdefault(status, Counter())[tuple(answer[ERROR_CODES])] += 1
    shared: Json = {}
    for status, sets in sorted(counted.items()):
        [(most, times)] = sets.most_common(1)
        name = f"Error{status}"
        for operation in operations:
            answer = operation["responses"].get(status, {})
            if times > 1 and tuple(answer.get(ERROR_CODES, ())) == most:
                shared[name] = answer
                operation["responses"][status] = {"$ref": f"#/components/responses/{name}"}
    return shared
