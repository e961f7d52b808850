"""Each alert is a query over metrics, labels and codes that there are, and its runbook over log lines and settings."""

from __future__ import annotations

import re
from typing import Any

import promql_parser
import pytest
import yaml
from promql_parser import AggregateExpr, Expr, Matcher, VectorSelector

from agents.models.errors import Category
from chat.errors import CloseCode, ErrorCode
from chat.models import AuditAction, ModelRequest, RunStatus
from netra import metrics_table
from netra.config import Config, variable
from tests.deployment import ROOT

Rule = dict[str, Any]
METRICS = {name: (kind, set(filter(None, labels.split(", ")))) for name, kind, labels, _ in metrics_table.rows()}
# What Prometheus itself adds, or its library tells of a process.
OF_PROMETHEUS = {"up": set[str](), "process_open_fds": set[str](), "process_max_fds": set[str]()}
OF_TARGETS = {"job", "instance"}
VALUES = {
    "code": {"OK", *ErrorCode, *(str(int(code)) for code in CloseCode)},
    "outcome": {*RunStatus.values, *ModelRequest.Outcome.values},
    "action": set(AuditAction.values),
    "way": {"wake_up", "log"},
    "reason": {"worker_lost", "handed_back"},
}
DOCUMENT = (ROOT / "docs" / "operations.md").read_text()
RULES: list[Rule] = [
    rule for group in yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
EACH = pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])


def parts(rule: Rule) -> list[Expr]:
    """Every part of the query. Raises ValueError for one that Prometheus could not read."""
    found: list[Expr] = []
    promql_parser.walk(promql_parser.parse(rule["expr"]), found.append)
    return found


def selectors(rule: Rule) -> list[VectorSelector]:
    return [part for part in parts(rule) if isinstance(part, VectorSelector)]


def labels_of(selector: VectorSelector) -> set[str]:
    """The labels that a series of this name has. Raises KeyError for a metric that there is not."""
    name = selector.name or ""
    if name in OF_PROMETHEUS:
        return OF_PROMETHEUS[name] | OF_TARGETS
    base = re.sub(r"_(bucket|count|sum)$", "", name)
    kind, labels = METRICS[name] if name in METRICS else METRICS[base]
    assert (kind == "histogram") == (name != base), f"{name} is of a {kind}"
    return labels | OF_TARGETS | ({"le"} if name.endswith("_bucket") else set())


def matchers(selector: VectorSelector) -> list[Matcher]:
    return list(selector.matchers.matchers)


@EACH
def test_it_asks_for_metrics_and_labels_that_there_are(rule: Rule) -> None:
    assert selectors(rule)
    known: set[str] = set()
    for selector in selectors(rule):
        known |= labels_of(selector)
        for matcher in matchers(selector):
            assert matcher.name in labels_of(selector), f"{selector.name} has no label {matcher.name}"
    for part in parts(rule):
        if isinstance(part, AggregateExpr) and part.modifier is not None:
            assert set(part.modifier.labels) <= known


@EACH
def test_it_asks_for_values_that_there_are(rule: Rule) -> None:
    for selector in selectors(rule):
        for matcher in matchers(selector):
            if matcher.name in VALUES:
                assert set(matcher.value.split("|")) <= VALUES[matcher.name], matcher.value


@EACH
def test_it_says_what_is_the_matter_and_how_bad_that_is(rule: Rule) -> None:
    assert rule["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    assert set(rule["annotations"]) == {"summary", "runbook"}
    assert re.fullmatch(r"[^\n]+\.", rule["annotations"]["summary"])
    told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert told <= set().union(*map(labels_of, selectors(rule)))


@EACH
def test_its_runbook_is_a_section_of_its_own(rule: Rule) -> None:
    assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"
    assert len(runbook(rule["alert"])) > 200


def runbook(name: str) -> str:
    found = re.search(rf"^### {name}\n\n(.*?)(?=^##|\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert found, name
    return found[1]


def test_there_is_a_section_for_nothing_else() -> None:
    alerts = DOCUMENT.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    assert re.findall(r"^### (\w+)$", alerts, re.MULTILINE) == [rule["alert"] for rule in RULES]


# What the runbooks name


SOURCES = "\n".join(
    path.read_text() for folder in ("netra", "chat", "agents") for path in sorted((ROOT / folder).rglob("*.py"))
)
# A service that is away is a line made of its name (chat.reachability).
SERVICES = re.findall(r'Reachability\(\s*"(\w+)"', SOURCES)
LINES = set(re.findall(r'(?:\.(?:debug|info|warning|error|exception)|log\([^"]*|_say\([^"]*)\(?\s*"(\w+)"', SOURCES))
LINES |= {f"{service}_{change}" for service in SERVICES for change in ("lost", "back")}


@EACH
def test_what_its_runbook_names_is_there(rule: Rule) -> None:
    """Log lines, metrics, settings, codes and labels, as they stand in backquotes."""
    settings = {variable(name) for name in Config.model_fields}
    fields = {"stage", "user_id", "seconds", "reason", "error_code", "correlation_id", "event", "pool", "instance"}
    labels = set().union(*(labels for _, labels in METRICS.values())) | fields
    values = set().union(*VALUES.values()) | set(Category.__args__) | {"connect", "events", "django"}  # type: ignore[attr-defined]
    elsewhere = {"MAX_CONNECTIONS", "ulimits", "max_connections", "pg_stat_activity", "LimitNOFILE", "Allowance"}
    for name in re.findall(r"`([A-Za-z]\w*)`", runbook(rule["alert"])):
        assert name in LINES | METRICS.keys() | settings | labels | values | elsewhere | {"ack", "Host"}, name
    for name in re.findall(r"\b(netra_\w+|NETRA_\w+)\b", runbook(rule["alert"])):
        assert name in METRICS | dict.fromkeys(settings), name


def test_the_table_of_metrics_is_what_there_is() -> None:
    found = re.search(r"begin -->\n\n(.*?)\n<!-- end -->", DOCUMENT, re.DOTALL)
    assert found
    assert found[1] == metrics_table.describe(), "write it with: python -m netra.metrics_table"


def test_each_metric_is_moved_by_a_test() -> None:
    tests = "\n".join((ROOT / "tests" / path).read_text() for path in ("chat/test_metrics.py", "chat/test_figures.py"))
    assert [name for name in METRICS if not re.search(rf'"{name}(_count|_sum|_bucket)?"', tests)] == []
