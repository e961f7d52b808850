"""Whatever is generated from the OpenAPI document, a real server answers it as the document says."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.answers import operations, strict_document
from tests.clients import Answer, request
from tests.e2e.conftest import own_server
from tests.generated_requests import ENDING, STREAMS, Asking, Person, asked_of, person_on
from tests.live import LiveServer

# So that limits are rarely met, and a token lasts as long as the test.
UNLIMITED: dict[str, Any] = {"user_messages_per_minute": 1_000_000, "max_open_runs": 100_000, "max_connections": 1000}
# Nobody takes mails there.
ACCOUNTS: dict[str, Any] = {
    "registration": "open",
    "email_url": "smtp://127.0.0.1:9",
    "email_from": "netra@example.org",
    "public_url": "https://chat.example",
}
EVENTS = {"Accept": "text/event-stream"}
# What a run must be in a certain state for, and what every signing out spoils.
SELDOM = ("retry_run", "resolve_approval", "refresh_access")
# Whose link is in a mail that nobody gets; what a provider has to sign, of which there is none.
NEVER = ("reset_password", "exchange_identity")
NAMES = {operation["operationId"] for _, _, operation in operations(strict_document())}


def of_streams() -> dict[str, Any]:
    """The document, without what only a page is asked for."""
    document = copy.deepcopy(strict_document())
    read = document["paths"]["/api/runs/{run_id}/events"]["get"]
    read["parameters"] = [parameter for parameter in read["parameters"] if parameter["name"] != "limit"]
    return document


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    yield from own_server(access_token_minutes=60, **UNLIMITED, **ACCOUNTS)


@pytest.fixture(scope="module")
def somebody(server: LiveServer) -> Person:
    return asyncio.run(person_on(server, conversations=1))


@pytest.fixture
def person(server: LiveServer) -> Person:
    return asyncio.run(person_on(server, conversations=8))


@pytest.mark.timeout(300)
def test_every_answer_is_as_the_document_says(server: LiveServer, person: Person) -> None:
    report = asked_of(server, strict_document(), person, Asking(seed=1, examples=3))
    assert not report.problems, report.text()
    assert report.requests > 800
    assert report.answered() >= NAMES - {"follow_events", "run_agent_for_ag_ui"} - {*SELDOM, *NEVER, *ENDING}


@pytest.mark.parametrize("name", ENDING)
def test_what_takes_something_away_is_answered_as_the_document_says(server: LiveServer, name: str) -> None:
    person = asyncio.run(person_on(server, conversations=1))
    # Of other phases, guesses at the password would use up the limit.
    asking = Asking(seed=1, examples=9, operations=[name], phases=["fuzzing"])
    report = asked_of(server, strict_document(), person, asking)
    assert not report.problems, report.text()
    assert report.answered() == {name}


def test_what_needs_one_of_few_ids_is_answered_as_the_document_says(server: LiveServer, person: Person) -> None:
    run_id, tool_call_id = next(iter(person.waiting.items()))
    person.values |= {"path.run_id": [run_id, person.cancelled[0]], "path.tool_call_id": [tool_call_id]}
    asking = Asking(seed=1, examples=25, operations=SELDOM, phases=["fuzzing"])
    report = asked_of(server, strict_document(), person, asking)
    assert not report.problems, report.text()
    assert report.answered() == set(SELDOM)


def test_every_stream_is_as_the_document_says(server: LiveServer, person: Person) -> None:
    asking = Asking(seed=1, examples=6, operations=STREAMS, headers=EVENTS, phases=["examples", "fuzzing", "stateful"])
    report = asked_of(server, of_streams(), person, asking)
    assert not report.problems, report.text()
    assert report.answered() == set(STREAMS)


def test_limits_are_met_as_the_document_says(data_dir: Path) -> None:
    with LiveServer(data_dir, access_token_minutes=60, user_messages_per_minute=9, max_open_runs=1) as server:
        person = asyncio.run(person_on(server, conversations=1))
        names = ["execute", "ask_agent", "post_message", "regenerate_answer", "retry_run"]
        asking = Asking(seed=1, examples=5, operations=names, phases=["examples", "fuzzing"])
        report = asked_of(server, strict_document(), person, asking)
    assert not report.problems, report.text()
    assert report.codes["TOO_MANY_RUNS"] > 0
    assert report.codes["RATE_LIMITED"] > 5


@pytest.mark.nightly
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("headers", [{}, EVENTS], ids=["json", "streams"])
def test_many_answers_are_as_the_document_says(server: LiveServer, headers: dict[str, str]) -> None:
    seed = int(time.time())
    person = asyncio.run(person_on(server, conversations=30))
    asking = Asking(seed=seed, examples=100, operations=STREAMS if headers else (), headers=headers)
    report = asked_of(server, of_streams() if headers else strict_document(), person, asking)
    assert not report.problems, f"seed {seed}: {report.text()}"


# That it would be noticed


def _without_an_answer(document: dict[str, Any]) -> None:
    del document["paths"]["/api/threads"]["get"]["responses"]["200"]


def _with_a_title_that_is_a_number(document: dict[str, Any]) -> None:
    document["components"]["schemas"]["Thread"]["properties"]["title"]["type"] = "integer"


def _with_a_field_that_there_is_not(document: dict[str, Any]) -> None:
    document["components"]["schemas"]["ThreadPage"]["required"].append("owner")


def _with_another_header(document: dict[str, Any]) -> None:
    document["components"]["headers"]["X-Correlation-Id"]["schema"]["pattern"] = "^never$"


def _with_a_larger_limit(document: dict[str, Any]) -> None:
    for parameter in document["paths"]["/api/threads"]["get"]["parameters"]:
        if parameter["name"] == "limit":
            parameter["schema"] = {"type": "integer", "minimum": 201}


def _with_a_smaller_title(document: dict[str, Any]) -> None:
    document["components"]["schemas"]["ThreadBody"]["properties"]["title"]["maxLength"] = 3


def _with_a_secret(document: dict[str, Any]) -> None:
    document["paths"]["/api/openapi.json"]["get"]["security"] = [{"bearer": []}]


def _in_another_form(document: dict[str, Any]) -> None:
    content = document["paths"]["/api/threads"]["get"]["responses"]["200"]["content"]
    content["application/xml"] = content.pop("application/json")


@pytest.mark.parametrize(
    ("check", "change"),
    [
        ("status_code_conformance", _without_an_answer),
        ("response_schema_conformance", _with_a_title_that_is_a_number),
        ("response_schema_conformance", _with_a_field_that_there_is_not),
        ("response_headers_conformance", _with_another_header),
        ("positive_data_acceptance", _with_a_larger_limit),
        ("negative_data_rejection", _with_a_smaller_title),
        ("ignored_auth", _with_a_secret),
        ("content_type_conformance", _in_another_form),
    ],
)
def test_a_document_that_does_not_tell_the_truth_is_noticed(
    server: LiveServer, somebody: Person, check: str, change: Callable[[dict[str, Any]], None]
) -> None:
    document = copy.deepcopy(strict_document())
    change(document)
    asking = Asking(
        seed=1, examples=4, operations=["list_threads", "create_thread", "get_openapi"], phases=["coverage", "fuzzing"]
    )
    report = asked_of(server, document, somebody, asking)
    assert check in {name for name, _ in report.problems}, report.text()


# What it has found


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=x"])
def test_a_body_that_calls_itself_a_form_is_refused_as_any_other(
    server: LiveServer, somebody: Person, kind: str
) -> None:
    answer: Answer = request(
        server.url, "POST", "/api/threads", token=somebody.token, body=b"{}", headers={"Content-Type": kind}
    )
    assert (answer.status, answer.body["error_code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
