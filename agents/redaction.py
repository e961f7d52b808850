"""Takes secrets out of text that is logged or shown: keys that providers echo, passwords in URLs, our own."""

from __future__ import annotations

import os
import re

MASK = "[removed]"

_SECRET_NAME = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS)$")
_SHORTEST = 6
# What this process was given elsewhere than in its environment.
_kept_out: set[str] = set()

# Every repetition that can start anywhere is bounded: what is redacted may have been written to be slow.
_PATTERNS = (
    re.compile(r"\b(?:sk|pk|rk|gsk|xai|hf|ghp|gho|glpat)[-_](?=[A-Za-z_-]{0,60}[\d*])[\w*-]{6,}"),
    re.compile(r"\bAIza[\w-]{20,}"),
    re.compile(r"\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?"),
    re.compile(r"(?i)(?<=bearer )[^\s\"',;]+"),
    re.compile(r"(?i)(?<=://)[^/\s:@]{0,200}:[^/\s]{0,200}(?=@)"),
)
_LABELLED = re.compile(
    r"""(?i)((?:api[-_ ]?key|access[-_ ]?token|secret|password|authorization)["']?\s*[:=]\s*["']?)"""
    r"""(?!bearer\b)([^\s"',;}]+)"""
)


def keep_out(secret: str) -> None:
    """Mask this, too, as long as the process lives."""
    if len(secret) >= _SHORTEST:
        _kept_out.add(secret)


def redact(text: str) -> str:
    """The text with this process's secrets, and what looks like a key, masked."""
    in_variables = {
        value for name, value in os.environ.items() if len(value) >= _SHORTEST and _SECRET_NAME.search(name)
    }
    # A longer one first: a shorter may be a part of it.
    for value in sorted(in_variables | _kept_out, key=len, reverse=True):
        text = text.replace(value, MASK)
    for pattern in _PATTERNS:
        text = pattern.sub(MASK, text)
    return _LABELLED.sub(rf"\1{MASK}", text)
