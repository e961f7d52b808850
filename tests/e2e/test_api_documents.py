"""docs/api.md, docs/client.md and README.md, executed: every example, in order, against a real server."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from chat.api.errors import STATUS_OF_CODE
from tests.browser import profile
from tests.e2e.conftest import own_server
from tests.examples import ANYTHING, EXAMPLES, OUTPUT, Block, Terminal, assert_shown, blocks_of, example_lines
from tests.live import LiveServer
from tests.processes import REPOSITORY

API = REPOSITORY / "docs" / "api.md"
OPENAPI = REPOSITORY / "docs" / "openapi.json"
PAGES = (API, REPOSITORY / "docs" / "client.md", REPOSITORY / "README.md")


@pytest.fixture(scope="module")
def documented() -> Iterator[LiveServer]:
    """Long answers take it so long that they can be stopped."""
    yield from own_server(user_messages_per_minute=1000, offline_tokens_per_second=100)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_example_does_what_the_page_shows(
    documented: LiveServer, browser: Browser, tmp_path: Path, page: Path
) -> None:
    account = documented.add_user("demo")
    stands_for = {
        "http://localhost:8000": documented.url,
        "~/netra": shlex.quote(str(REPOSITORY)),
        "demo": account.username,
    }
    blocks = blocks_of(page)
    ran = []
    # README.md supposes that; docs/client.md shows how.
    found = {"PYTHONPATH": str(REPOSITORY)} if page.name == "README.md" else {}
    with Terminal(tmp_path, environment() | found) as terminal:
        for block, following in zip(blocks, [*blocks[1:], None], strict=True):
            if block.language not in EXAMPLES:
                continue
            shown = following if following is not None and following.info == OUTPUT else None
            code = filled_in(block.text, {**stands_for, ANYTHING: account.password})
            printed = run(block, code, terminal, browser, documented)
            assert_shown(printed, shown and replace(shown, text=filled_in(shown.text, stands_for)))
            ran += [block.line, *([shown.line] if shown is not None else [])]
    assert ran == example_lines(page), "every example was run, and everything shown was compared"
    assert ran


def run(block: Block, code: str, terminal: Terminal, browser: Browser, server: LiveServer) -> str:
    """What the example prints. One that is a test for pytest has to pass."""
    if block.info == "browser":
        return printed_in_a_page(browser, server.url, code)
    if block.language == "python" and "def test_" in code:
        module = terminal.folder / "test_example.py"
        module.write_text(code)
        settings = f"NETRA_DATA_DIR={server.data_dir} DJANGO_SETTINGS_MODULE=netra.settings"
        options = "-q -p no:cacheprovider -o asyncio_mode=auto -o asyncio_default_fixture_loop_scope=function"
        assert "1 passed" in terminal.run("bash", f"{settings} python -m pytest {options} {module}")
        return ""
    return terminal.run(block.language, code)


def printed_in_a_page(browser: Browser, url: str, code: str) -> str:
    """A module's code, in a page of the server."""
    with profile(browser) as context:
        page = context.new_page()
        lines: list[str] = []
        page.on("console", lambda message: lines.append(message.text))
        page.goto(f"{url}/api/docs")
        page.evaluate(f"async () => {{ {code} }}")
        return "".join(f"{line}\n" for line in lines)


def environment() -> dict[str, str]:
    """The reader's shell, with the environment that Netra runs in."""
    given = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    return given | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONWARNINGS": "error"}


def filled_in(text: str, stands_for: Mapping[str, str]) -> str:
    """What the page has for every reader, as it is for this one."""
    names = "|".join(map(re.escape, stands_for))
    return re.sub(rf"(?<!\w)(?:{names})(?!\w)", lambda found: stands_for[found[0]], text)


def test_every_path_of_the_api_is_on_its_page() -> None:
    named = {re.sub(r"<\w+>", "{}", path) for path in re.findall(r"/api/[\w<>/.-]*[\w>]", API.read_text())}
    paths = {re.sub(r"\{\w+\}", "{}", path) for path in json.loads(OPENAPI.read_text())["paths"]}
    assert paths - named == set(), "on the page is none of these"


def test_every_code_is_on_the_page_with_its_status() -> None:
    table = re.findall(r"^\| ([\d, ]+) \| (.*) \|$", API.read_text(), re.MULTILINE)
    told = {
        (code, status)
        for numbers, text in table
        for status in numbers.split(", ")
        for code in re.findall(r"`([A-Z_]+)`", text)
    }
    for code, status in STATUS_OF_CODE.items():
        assert (code.value, str(status)) in told, f"{code} is not told as {status}"
    assert {code for code, _ in told} - set(STATUS_OF_CODE) == {"INVALID_JSON", "INVALID_MESSAGE"}, "400 is for others"
