"""Pages of Chromium under faults, and that a page with a fault of its own is noticed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext

from tests.chaos.driver import unleash
from tests.chaos.pages import PagesOutcome, audience
from tests.chaos.record import read_log
from tests.e2e.conftest import new_data_dir
from tests.live import LiveServer
from tests.processes import REPOSITORY

MUTATION = Path(__file__).with_name("mutation.mjs")


@pytest.fixture
def folder() -> Iterator[Path]:
    yield from new_data_dir()


@pytest.mark.timeout(600)
async def test_pages_show_what_is_stored_whatever_breaks(folder: Path) -> None:
    outcome = await unleash(
        folder, seconds=45, seed="ci pages", clients=2, between_faults=5, pages=4, between_deeds=0.5
    )
    print(outcome.report())
    assert outcome.is_clean, outcome.report()
    assert outcome.faults.total() >= 4, outcome.faults
    assert outcome.pages is not None
    assert outcome.pages.answers_compared >= 8, outcome.report()


# Mutated pages


@dataclass(frozen=True, slots=True)
class Mutation:
    """A fault of the page: other text in a file of `web/src`. `kind`: as what the verdict counts it."""

    name: str
    file: str
    old: str
    new: str
    kind: str


CHUNK = "return { text: run.text + event.data.text };"
SEND = "} else if (this.#connection.send(command)) {"
START = "void application.start();"
IN_CI = [
    Mutation(
        "drops a chunk",
        "protocol/run.ts",
        CHUNK,
        "return event.seq % 4 === 0 ? {} : { text: run.text + event.data.text };",
        "broken_growth",
    ),
    Mutation(
        "applies a chunk twice",
        "protocol/run.ts",
        CHUNK,
        "return { text: run.text + event.data.text.repeat(event.seq % 4 === 0 ? 2 : 1) };",
        "broken_growth",
    ),
    Mutation(
        "misses the end", "protocol/run.ts", 'message, status: "completed",', 'message, status: "running",', "different"
    ),
    Mutation(
        "sends twice",
        "chat/delivery.ts",
        SEND,
        "} else if (this.#connection.send({ ...command, message_id: crypto.randomUUID() } as never) &&"
        " this.#connection.send(command)) {",
        "posted_twice",
    ),
]
NIGHTLY = [
    Mutation(
        "turns the order round",
        "chat/turns.ts",
        "return [...drafts]\n    .sort(([, a], [, b]) => a.order - b.order)",
        "return [...drafts]\n    .sort(([, a], [, b]) => b.order - a.order)",
        "different",
    ),
    Mutation(
        "loses the last character",
        "chat/turns.ts",
        'live?.message?.content ?? live?.text ?? "")',
        'live?.message?.content ?? live?.text ?? "").slice(0, -1)',
        "different",
    ),
    Mutation("complains", "main.tsx", START, f'console.warn("something"); {START}', "console"),
    Mutation(
        "breaks the policy",
        "main.tsx",
        START,
        f'document.body.setAttribute("style", "color: red"); {START}',
        "policy",
    ),
    Mutation("throws", "main.tsx", START, f'setTimeout(() => {{ throw new Error("late"); }}); {START}', "page_errors"),
    Mutation("is too wide", "main.tsx", START, f'document.documentElement.style.width = "150vw"; {START}', "different"),
    Mutation(
        "has no composer", "view/composer.tsx", "        rows={1}\n", "        rows={1}\n readOnly\n", "different"
    ),
]


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    for folder in new_data_dir():
        with LiveServer(folder, offline_tokens_per_second=60) as server:
            yield server


def built(mutation: Mutation, folder: Path) -> Path:
    script = folder / "app.js"
    changed = (mutation.file, mutation.old, mutation.new)
    subprocess.run(["node", str(MUTATION), str(REPOSITORY / "web"), str(script), *changed], check=True)
    return script


async def seen(server: LiveServer, mutation: Mutation | None, folder: Path) -> PagesOutcome:
    """A person asks twice, reloads, and compares."""

    script = built(mutation, folder) if mutation else None

    async def prepare(context: BrowserContext) -> None:
        if script is not None:
            await context.route(
                "**/static/chat/app.js", lambda route: route.fulfill(path=script, content_type="text/javascript")
            )

    [account] = server.add_users(1)
    async with audience(
        [account], server.port, folder, pages=1, seed="mutation", between_deeds=0, patience=6, prepare=prepare
    ) as readers:
        [person] = readers.persons
        await person.go_through("open", "reload in mid-answer", "ask")
        await person.settle()
        with server.database() as connection:
            return await readers.outcome(read_log(connection, [account.id]))


async def test_a_page_without_a_fault_passes(server: LiveServer, tmp_path: Path) -> None:
    outcome = await seen(server, None, tmp_path)
    assert outcome.verdict.is_clean, outcome.report()
    assert outcome.answers_compared >= 4


@pytest.mark.parametrize(
    "mutation",
    [*IN_CI, *(pytest.param(each, marks=pytest.mark.nightly) for each in NIGHTLY)],
    ids=lambda mutation: mutation.name,
)
async def test_a_page_with_a_fault_is_noticed(server: LiveServer, tmp_path: Path, mutation: Mutation) -> None:
    outcome = await seen(server, mutation, tmp_path)
    assert outcome.verdict.counts[mutation.kind] > 0, outcome.report()
