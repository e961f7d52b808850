"""Requests generated from the OpenAPI document, and whether each answer is as the document says. By schemathesis.

A person with conversations is made first, and most generated requests name them: otherwise nearly all would be 404.
"""

from __future__ import annotations

import copy
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.core.transport import Response
from schemathesis.engine import events, from_schema
from schemathesis.engine.recorder import CheckFailureInfo, Request, ScenarioRecorder

from chat.api.openapi import HEADERS
from tests.answers import assert_answer_conforms
from tests.chat.files import FORM, form
from tests.clients import Account, Frame, request
from tests.conformance import assert_conforms
from tests.live import LiveServer

Json = dict[str, Any]
PHASES = ("examples", "coverage", "fuzzing", "stateful")
# What takes away what others need: asked only where it is named.
ENDING = ("sign_out_everywhere", "change_password", "delete_account", "forget_notes")
STREAMS = ("execute", "ask_agent", "run_agent_for_ag_ui", "list_run_events", "follow_events")
ACCEPTED = ["2xx", "401", "403", "404", "409", "429"]
# What no schema says: a request as described may be refused with one of these, and with no other word.
RULES = (
    "The cursor is not one of this server's",
    "The last event's id",
    "events so far",
    "thread_id: must be given with edits or parent_id",
    "a message either edits another or follows one",
    "user: only together with everyone",
    "thread_id: not together with everyone",
    "through: is not given together with leaf",
    "must not be after until",
    "of the years from 2000 to 2199",
    "password: this password",
    "new_password: this password",
    "password: the password is too similar",
    "username: Enter a valid username",
    "must be an e-mail address",
    "The link is not valid any more",
    "A message may have at most",
)


@dataclass(slots=True)
class Person:
    """Somebody with threads, messages, runs and tool calls."""

    account: Account
    values: dict[str, list[Any]]
    cancelled: list[str]
    # Runs, and the calls for which they wait.
    waiting: dict[str, str]

    @property
    def token(self) -> str:
        return self.account.token(exp=int(time.time()) + 3600)


@dataclass(slots=True)
class Report:
    """What was asked, and what was wrong: by check and operation, one example each."""

    requests: int = 0
    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    codes: Counter[str] = field(default_factory=Counter)
    problems: dict[tuple[str, str], str] = field(default_factory=dict)

    def answered(self) -> set[str]:
        """The operations that have done what they are for."""
        return {name for name, counted in self.statuses.items() if any(status < 300 for status in counted)}

    def text(self) -> str:
        return "\n\n".join(f"{check}, {operation}: {what}" for (check, operation), what in self.problems.items())

    def note(self, recorder: ScenarioRecorder) -> None:
        for case_id, interaction in recorder.interactions.items():
            self.requests += 1
            if interaction.response is not None and case_id in recorder.cases:
                operation = recorder.cases[case_id].value.operation
                if interaction.request.method == operation.method.upper():
                    name = operation.definition.raw["operationId"]
                    self.statuses[name][interaction.response.status_code] += 1
                self.codes[_code_of(interaction.response)] += 1
                if problem := _problem_of(interaction.request, interaction.response):
                    self.problems.setdefault(("as described", operation.label), problem)
        for case_id, checks in recorder.checks.items():
            for check in checks:
                if check.failure_info is not None:
                    label = recorder.cases[case_id].value.operation.label
                    self._add(check.name, label, check.failure_info, recorder.interactions[case_id].response)

    def _add(self, check: str, label: str, found: CheckFailureInfo, answer: Response | None) -> None:
        told = f"{answer.status_code} {answer.content[:600]!r}" if answer is not None else "no answer"
        said = answer.content.decode(errors="replace") if answer is not None else ""
        if check == "positive_data_acceptance" and any(rule in said for rule in RULES):
            return
        what = f"{found.failure.title}: {found.failure.message[:800]}\n{found.code_sample[:800]}\n{told}"
        self.problems.setdefault((check, label), what)


def _code_of(response: Response) -> str:
    found = re.match(rb'{"error_code":"(\w+)"', response.content)
    return found[1].decode() if found else ""


def _problem_of(request: Request, response: Response) -> str | None:
    """What is wrong with an answer by our own reading of the documents: its code, its fields, its stream's frames."""
    headers = {name.title(): values[0] for name, values in response.headers.items()}
    described = {name: headers.get(name.title()) for name in HEADERS} | {"Content-Type": headers.get("Content-Type")}
    kind = (headers.get("Content-Type") or "").partition(";")[0]
    path = unquote(urlsplit(request.uri).path)
    try:
        body = json.loads(response.content) if kind == "application/json" else response.content
        given = {name: value for name, value in described.items() if value is not None}
        if response.status_code >= 400:
            assert kind == "application/json", f"{response.status_code} is {kind}"
            assert set(body) == {"error_code", "error_message", "details", "correlation_id"}
        assert_answer_conforms(request.method, path, response.status_code, given, body)
        if kind == "text/event-stream" and not path.endswith("/ag-ui"):
            for line in response.content.decode().splitlines():
                if line.startswith("data: "):
                    assert_conforms(json.loads(line.removeprefix("data: ")))
    except AssertionError as error:
        return f"{request.method} {request.uri} {request.headers} {request.body!r}: {error} {response.content[:300]!r}"
    return None


async def person_on(server: LiveServer, *, conversations: int) -> Person:
    """A new person: threads of a question and its judged answer, and half as many each cancelled, and waiting."""
    account = server.add_user()
    answered: list[Frame] = []
    waiting: list[Frame] = []
    async with server.connect(account) as client:
        for _ in range(conversations):
            begun = await client.post("What is 6 * 7?")
            told = await client.events(begun["run_id"])
            answered.append(begun | {"seqs": [event["seq"] for event in told if event["type"] == "tool_completed"]})
        for number in range(2 * ((conversations + 1) // 2)):
            begun = await client.post("Read https://example.org/ and tell me what it says")
            asked = (await client.events(begun["run_id"], to=["approval_required"]))[-1]
            waiting.append(begun | asked["data"])
            if number % 2 == 0:
                await client.request(type="stop_run", run_id=begun["run_id"])
        agents = client.established["agents"]
    notes = _notes(server, account, conversations)
    messages = [_judged(server, account, begun["thread_id"]) for begun in answered]
    return Person(
        account,
        {
            "path.thread_id": [begun["thread_id"] for begun in answered],
            "path.message_id": messages,
            "path.run_id": [begun["run_id"] for begun in (*answered, *waiting)],
            "path.seq": sorted({seq for begun in answered for seq in begun["seqs"]}),
            "path.tool_call_id": sorted({begun["tool_call_id"] for begun in waiting}),
            "path.name": agents,
            "path.note_id": notes,
            "path.attachment_id": [_uploaded(server, account, number) for number in range(4 * conversations)],
            "body.type": agents,
            "body.username": [account.username],
            "body.password": [account.password],
            "body.old_password": [account.password],
            "body.new_password": ["correct horse battery staple"],
            "body.refresh": [account.token(token_type="refresh", exp=int(time.time()) + 3600) for _ in range(20)],
        },
        [begun["run_id"] for begun in waiting[::2]],
        {begun["run_id"]: begun["tool_call_id"] for begun in waiting[1::2]},
    )


def _notes(server: LiveServer, account: Account, number: int) -> list[int]:
    query = "INSERT INTO chat_note (user_id, content, created_at) VALUES (%s, %s, now()) RETURNING id"
    with server.database() as database:
        rows = [database.execute(query, (account.id, f"note {at}")).fetchone() for at in range(number)]
    return [row[0] for row in rows if row is not None]


def _uploaded(server: LiveServer, account: Account, number: int) -> str:
    """A file that waits for its message."""
    content, kind = form(f"file {number}".encode()), {"Content-Type": FORM}
    answer = request(server.url, "POST", "/api/attachments", token=account.token(), body=content, headers=kind)
    assert answer.status == 201
    return str(answer.body["id"])


def _judged(server: LiveServer, account: Account, thread_id: str) -> str:
    """The answer in a thread, which the person likes."""
    shown = server.http("GET", f"/api/threads/{thread_id}/messages", token=account.token()).body
    message_id: str = shown["messages"][1]["id"]
    path = f"/api/messages/{message_id}/feedback"
    assert server.http("PUT", path, token=account.token(), body={"rating": "up"}).status == 200
    return message_id


@dataclass(frozen=True, kw_only=True, slots=True)
class Asking:
    """What is asked. `examples`: of each operation in each phase, at most. `operations`: none means all.

    `accepted` are more statuses of requests that are as described.
    """

    seed: int
    examples: int
    operations: Sequence[str] = ()
    phases: Sequence[str] = PHASES
    headers: Mapping[str, str] = field(default_factory=dict)
    accepted: Sequence[str] = ()


def asked_of(server: LiveServer, document: Json, person: Person, asking: Asking) -> Report:
    """Ask what is generated from the document."""
    # schemathesis adds links to what it is given.
    described = _only(document, asking.operations) if asking.operations else copy.deepcopy(document)
    schema = schemathesis.openapi.from_dict(described, config=_configuration(server, person, asking))
    report = Report()
    for event in from_schema(schema).execute():
        match event:
            case events.ScenarioFinished(recorder=recorder):
                report.note(recorder)
            case events.NonFatalError(value=error) | events.FatalError(exception=error):
                raise AssertionError(f"schemathesis could not go on: {error}") from None
            case _:
                pass
    return report


def _only(document: Json, names: Sequence[str]) -> Json:
    """The document with these operations alone, and the links between them.

    schemathesis holds each event of a stream against the schema of the whole stream: `_problem_of` looks at events.
    """
    smaller = copy.deepcopy(document)
    for path, item in list(smaller["paths"].items()):
        for method, operation in list(item.items()):
            if operation["operationId"] not in names:
                del item[method]
            for answer in operation["responses"].values():
                answer.get("content", {}).get("text/event-stream", {}).pop("schema", None)
                links = answer.get("links", {})
                answer["links"] = {name: link for name, link in links.items() if link["operationId"] in names}
        if not item:
            del smaller["paths"][path]
    return smaller


def _configuration(server: LiveServer, person: Person, asking: Asking) -> SchemathesisConfig:
    return SchemathesisConfig.from_dict(
        {
            "seed": asking.seed,
            "base-url": server.url,
            "headers": dict(asking.headers),
            "auth": {"openapi": {"bearer": {"bearer": person.token}}},
            "dictionaries": {name: {"values": values} for name, values in person.values.items()},
            "parameters": {name: {"dictionary": name, "probability": 0.7} for name in person.values},
            # Texts with NUL are refused, which no schema says: tests/chat/test_api_errors.py.
            "generation": {"allow-x00": False, "max-examples": asking.examples, "no-shrink": True},
            "phases": {name: {"enabled": name in asking.phases} for name in PHASES}
            | {"coverage": {"enabled": "coverage" in asking.phases, "unexpected-methods": ["TRACE", "PUT", "GET"]}},
            # A path has more methods than a document without some of its operations says.
            "checks": _accepting(*asking.accepted)
            | {name: {"enabled": not asking.operations} for name in ("allow_header_conformance", "unsupported_method")},
            "operations": [
                *({"include-operation-id": name, "enabled": False} for name in ENDING if name not in asking.operations),
                {
                    "include-operation-id": ["change_thread", "delete_thread"],
                    "checks": _accepting("412", *asking.accepted),
                },
                # Few bytes are an image or text.
                {"include-operation-id": "upload_attachment", "checks": _accepting("415", *asking.accepted)},
                # They are streams. The one does not end: its first event is enough.
                {
                    "include-operation-id": "follow_events",
                    "checks": _accepting("406", *asking.accepted),
                    "max-stream-events": 1,
                },
                # What messages and answers are is for AG-UI's own description to say.
                {"include-operation-id": "run_agent_for_ag_ui", "checks": _accepting("400", "406", *asking.accepted)},
            ],
            "continue-on-failure": True,
            "request-timeout": 20,
            "max-stream-events": 1000,
            "warnings": False,
        }
    )


def _accepting(*also: str) -> Json:
    return {"positive_data_acceptance": {"expected-statuses": [*ACCEPTED, *also]}}
