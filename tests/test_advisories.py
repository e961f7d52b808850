"""`make audit`: what is known fails, what is accepted does not, and what cannot be asked is said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.advisories import ROOT, Found, accepted, not_needed, of_npm_audit, of_pip_audit, report

HARMLESS: dict[str, Any] = {"name": "django", "version": "5.2.19", "vulns": []}
VULNERABLE = {
    "name": "idna",
    "version": "3.6",
    "vulns": [{"id": "PYSEC-2024-60", "aliases": ["CVE-2024-3651"], "fix_versions": ["3.7"], "description": "…"}],
}
SKIPPED = {"name": "netra-own", "skip_reason": "Dependency not found on PyPI and could not be audited"}


def pip(*dependencies: Any) -> Found:
    return of_pip_audit(json.dumps({"dependencies": dependencies, "fixes": []}), "")


def test_a_known_vulnerability_is_named_and_fails() -> None:
    lines, well = report("Python", pip(HARMLESS, VULNERABLE), {})
    assert lines == ["Python: idna 3.6: CVE-2024-3651, PYSEC-2024-60: fixed in 3.7"]
    assert not well


@pytest.mark.parametrize("name", ["PYSEC-2024-60", "CVE-2024-3651"])
def test_one_that_is_accepted_by_any_of_its_names_does_not(name: str) -> None:
    known = {name: "2026-11-29: no name of others is encoded here"}
    assert report("Python", pip(HARMLESS, VULNERABLE), known) == (
        ["Python: no known vulnerability that is not accepted."],
        True,
    )


def test_where_nothing_is_found_all_is_well() -> None:
    assert report("Python", pip(HARMLESS), {})[1]


def test_an_index_that_knows_no_package_is_not_taken_for_good_news() -> None:
    """As a mirror without advisories answers: pip-audit itself then says that it found none."""
    lines, well = report("Python", pip(SKIPPED, SKIPPED), {})
    assert (lines, well) == (["Python: advisories cannot be reached from here (the index knows no advisories)."], True)


def test_single_packages_that_nobody_knows_are_named() -> None:
    lines, well = report("Python", pip(HARMLESS, SKIPPED), {})
    assert lines[0] == "Python: nobody knows of netra-own."
    assert well


@pytest.mark.parametrize("output", ["", "Traceback", "[]", "null", "{}"])
def test_an_answer_that_is_none_is_said_in_one_line_without_an_address(output: str) -> None:
    for read in (of_pip_audit, of_npm_audit):
        lines, well = report("x", read(output, "first\nFailed to reach https://mirror.example/simple\n\n"), {})
        assert lines == ["x: advisories cannot be reached from here (Failed to reach …)."]
        assert well


NPM = {
    "vulnerabilities": {
        "braces": {
            "severity": "high",
            "via": [{"title": "Uncontrolled resources", "url": "https://github.com/advisories/GHSA-grv7-fg5c-xmjg"}],
        },
        "micromatch": {"severity": "high", "via": ["braces"]},
    }
}


def test_of_npm_the_cause_is_told_and_nothing_of_this_machine() -> None:
    output = '{\n"message": "405 Method Not Allowed - POST https://registry.example/bulk",\n"statusCode": 405}'
    found = of_npm_audit(output, "npm error A complete log of this run can be found in: /home/somebody/x.log")
    assert found.unreached == "405 Method Not Allowed - POST …"


def test_of_npm_the_package_with_the_advisory_is_named_and_not_who_depends_on_it() -> None:
    found = of_npm_audit(json.dumps(NPM), "")
    assert report("npm", found, {}) == (["npm: braces: GHSA-grv7-fg5c-xmjg: Uncontrolled resources"], False)
    assert report("npm", found, {"GHSA-grv7-fg5c-xmjg": "2026-11-29: a tool of the build only"})[1]
    assert report("npm", of_npm_audit('{"vulnerabilities": {}}', ""), {})[1]


@pytest.mark.parametrize("reason", ["", "not used here", "2026-11-29", "2026-11-29: no"])
def test_nothing_is_accepted_without_a_date_and_a_reason(reason: str) -> None:
    with pytest.raises(ValueError, match="GHSA-1 is accepted without"):
        accepted(f'[tool.netra.accepted-advisories]\nGHSA-1 = "{reason}"\n')


def test_what_the_project_accepts_has_both() -> None:
    accepted((ROOT / "pyproject.toml").read_text())


def test_what_is_accepted_and_gone_is_told_when_everybody_was_asked() -> None:
    known = {"PYSEC-2024-60": "…", "GHSA-gone": "…"}
    assert not_needed(known, [pip(HARMLESS, VULNERABLE), of_npm_audit('{"vulnerabilities": {}}', "")]) == ["GHSA-gone"]
    assert not_needed(known, [pip(HARMLESS), of_npm_audit("", "away")]) == []
