"""Secrets are compared in constant time. Of whatever is called like one and compared otherwise it stands here why that
tells nobody anything.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from netra.config import PROJECT_ROOT

CALLED_SO = re.compile(
    r"(?i)token|secret|password|signature|digest|credential|authorization|bearer|cookie|api_?key|hmac"
)
SIGNED = "a claim under our signature, which nobody can choose, with what the database has"
NO_SECRET = "the name of a kind"
ALLOWED = {
    "chat/connections.py": SIGNED,
    "chat/rotation.py": SIGNED,
    "chat/sessions.py": SIGNED,
    "chat/api/own_sessions.py": "the id of a session, of the same person",
    "netra/backup/manifest.py": "the digest of a file, against damage",
    "netra/client/socket.py": NO_SECRET,
    "netra/probe/sockets.py": NO_SECRET,
    "netra/probe/diagnosis/credentials.py": NO_SECRET,
    "agents/offline/plan.py": "a word of a question",
    "agents/tools/arithmetic.py": "a piece of a formula",
}


def comparisons() -> Iterator[tuple[str, str]]:
    """Path and text of each comparison by `==` or `!=` with something whose name sounds like a secret's."""
    for root in ("netra", "chat", "agents"):
        for path in sorted((PROJECT_ROOT / root).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Compare) or not any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                    continue
                sides = [each for each in (node.left, *node.comparators) if not isinstance(each, ast.Constant)]
                if any(CALLED_SO.search(ast.unparse(side)) for side in sides):
                    yield str(path.relative_to(PROJECT_ROOT)), ast.unparse(node)


def test_what_sounds_like_a_secret_is_compared_in_constant_time_or_is_none() -> None:
    found = list(comparisons())
    assert [(path, text) for path, text in found if path not in ALLOWED] == []
    assert {path for path, _ in found} == set(ALLOWED), "what is not there any more needs no reason"


def test_the_secrets_that_we_compare_ourselves_are_compared_so() -> None:
    text = (PROJECT_ROOT / "netra" / "exposition.py").read_text()
    assert "hmac.compare_digest" in text
