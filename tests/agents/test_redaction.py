from __future__ import annotations

import pytest

from agents.redaction import redact


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("Incorrect API key provided: sk-proj-Ab12***xyz9.", "Incorrect API key provided: [removed]."),
        ("sk-ant-api03-abc123-def", "[removed]"),
        ("gsk_1a2b3c4d5e", "[removed]"),
        ("key=AIzaSyA1234567890abcdefghijk", "key=[removed]"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer [removed]"),
        ("token eyJhbGciOi.eyJzdWIiOi.c2ln", "token [removed]"),
        ('{"api_key": "zzz", "model": "m"}', '{"api_key": "[removed]", "model": "m"}'),
        ("x-api-key: abc", "x-api-key: [removed]"),
        ("password='hunter2'", "password='[removed]'"),
        ("postgres://ada:p@ss@db:5432/netra", "postgres://[removed]@db:5432/netra"),
        ("redis://:pw@host/0 and http://host/path", "redis://[removed]@host/0 and http://host/path"),
        ("a sky-scraping, risk-free task with a token limit", "a sky-scraping, risk-free task with a token limit"),
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str, safe: str) -> None:
    assert redact(text) == safe


def test_secrets_of_this_process_are_masked_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISTRAL_API_KEY", "plainlookingword")
    monkeypatch.setenv("SHORT_TOKEN", "abc")
    assert redact("a plainlookingword abc") == "a [removed] abc"
