"""docs/troubleshooting.md has every code, every close code, every alert, and every sentence that ends start-up."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
import yaml

from chat.asyncapi.codes import CLOSES, RUN_ERRORS
from chat.errors import CloseCode, ErrorCode
from tests.deployment import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
# Where start-up ends with a sentence, and what says it.
START = [
    *(ROOT / name for name in ("netra/config.py", "netra/database.py", "netra/own_apps.py", "netra/settings.py")),
    *(ROOT / name for name in ("netra/secret_files.py", "chat/apps.py")),
    *(ROOT / "netra" / "management" / "commands" / f"{name}.py" for name in ("serve", "worker", "migrate")),
    *sorted((ROOT / "netra" / "postgres").glob("*.py")),
]
SAYING = {
    "stop",
    "ValueError",
    "PostgresError",
    "ImproperlyConfigured",
    "SecretUnreadable",
    "CommandError",
}


def section(title: str) -> str:
    found = re.search(rf"^#+ {title}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def first_cells(text: str) -> set[str]:
    """Of each row, what is in code or a link in its first cell."""
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("|")]
    return {
        word for cell in cells for word in re.findall(r"`([^`]+)`|\[(\w+)\]|^ (\d+) $", cell) for word in word if word
    }


def sentences() -> Iterator[str]:
    """The longest part of each that has no value in it."""
    for file in START:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and node.args and _name(node.func) in SAYING:
                [said, *_] = node.args
                parts = said.values if isinstance(said, ast.JoinedStr) else [said]
                texts = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
                longest = max(texts, key=len, default="").partition(". ")[0].strip(" :().,;")
                if len(longest.split()) > 1:
                    yield longest


def _name(called: ast.expr) -> str:
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


def test_every_code_is_there_and_none_that_is_not() -> None:
    assert first_cells(section("Codes")) == {code.value for code in ErrorCode}
    runs = PAGE[PAGE.index("### Runs") : PAGE.index("## Close codes")]
    assert first_cells(runs) == {code.value for code in RUN_ERRORS}


def test_every_close_code_is_there() -> None:
    assert first_cells(section("Close codes")) == {str(close.code) for close in CLOSES}
    assert {int(code) for code in CloseCode} <= {close.code for close in CLOSES}


def test_every_alert_is_there_and_leads_to_its_section() -> None:
    groups = yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    assert first_cells(section("Alerts")) == alerts
    for alert in alerts:
        assert f"[{alert}](operations.md#{alert.lower()})" in PAGE
        assert f"\n### {alert}\n" in OPERATIONS


@pytest.mark.parametrize("sentence", sorted(set(sentences())))
def test_every_sentence_that_ends_a_start_is_there(sentence: str) -> None:
    assert sentence in section("It does not start") + section("Commands")


def test_links_lead_somewhere() -> None:
    """Of this page and of operations.md, within docs."""
    for text in (PAGE, OPERATIONS):
        for file, anchor in re.findall(r"\]\((?!https?:)([\w./-]*\.md)?#?([\w-]*)\)", text):
            target = (ROOT / "docs" / file).read_text() if file else text
            titles = re.findall(r"^#+ (.*)$", target, re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}
            assert not anchor or anchor in anchors, (file, anchor)
