"""`python -m tests.evals --model provider:name`: the questions of the evaluation, answered by a real provider.

Its key stands in the environment, as for the server. The requests cost what they cost.
"""

from __future__ import annotations

import argparse
import sys

import pytest

from agents.errors import ModelUnusable
from agents.models.choice import Models
from tests.evals import MODEL

LONGEST_PROBLEM = 300


class Table:
    """A pytest plugin: which model answers, and what came of each question."""

    def __init__(self, model: str) -> None:
        self._model = model
        self.lines: list[tuple[str, bool, str]] = []

    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[MODEL] = self._model

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if "test_question" not in report.nodeid or (report.when != "call" and not report.failed):
            return
        name = report.nodeid.partition("[")[2].rstrip("]")
        found = [str(value) for key, value in report.user_properties if key == "problems" and value]
        problem = "; ".join(found) or ("" if report.passed else _last_line(report))
        self.lines.append((name, report.passed, " ".join(problem.split())[:LONGEST_PROBLEM]))

    def text(self) -> str:
        passed = sum(ok for _, ok, _ in self.lines)
        rows = [
            f"{'passed' if ok else 'FAILED':<7} {name:<34} {problem[:300]}".rstrip() for name, ok, problem in self.lines
        ]
        return "\n".join([*rows, f"{self._model}: {passed} of {len(self.lines)} passed"])


def _last_line(report: pytest.TestReport) -> str:
    return str(report.longrepr).strip().splitlines()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.evals", description=__doc__)
    parser.add_argument("--model", required=True, help="provider:name, or offline")
    parser.add_argument("-k", dest="only", default="", help="only questions whose id matches, as for pytest")
    arguments = parser.parse_args()
    try:
        Models(default=arguments.model).choose("assistant")
    except ModelUnusable as error:
        sys.exit(str(error))
    table = Table(arguments.model)
    options = [
        "tests/evals/test_evals.py",
        "-q",
        "--no-summary",
        "--timeout=600",
        "-W",
        "default",
        "-k",
        arguments.only,
    ]
    # A question with failed checks is a row of the table, not a page of traceback.
    pytest.main([*options, "--tb=line", "--show-capture=no"], plugins=[table])
    print(f"\n{table.text()}")
    sys.exit(0 if table.lines and all(ok for _, ok, _ in table.lines) else 1)


if __name__ == "__main__":
    main()
