"""Secrets from files: read once, told to nobody, and refused in one sentence that names the variable."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from pydantic import SecretStr

from agents.redaction import MASK, redact
from netra import secret_files
from netra.config import Config, variable
from netra.secret_files import SecretUnreadable, is_secret
from tests.netra.started import python

KEY = "the key of this installation that is in a file"
SECRETS = [name for name, field in Config.model_fields.items() if is_secret(field)]
# What they may look like that are not of any kind.
CONTENTS = {
    "database_url": "postgresql://u:p%40@db/netra",
    "redis_url": "redis://:p@r:6379/0,redis://s",
    "email_url": "smtps://u:p@mail",
    "attachment_storage": '{"BACKEND": "a.B", "OPTIONS": {"secret_key": "x"}}',
    "identity_provider": '{"BACKEND": "a.B", "OPTIONS": {"key": "x"}}',
    "mcp_servers": '{"mcpServers": {}}',
    "signing_keys": "a-first-key-of-thirty-two-characters,a-second-key-of-as-many-characters",
    "secret_key_fallbacks": "a-former-key-of-thirty-two-characters",
}


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("NETRA_") or name.removesuffix("_FILE") in ("DATABASE_URL", "REDIS_URL", "PGPASSWORD"):
            monkeypatch.delenv(name)


def everything_read() -> None:
    secret_files.give_to_libraries()
    Config()


def written(folder: Path, content: str | bytes) -> str:
    path = folder / "secret"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def test_the_settings_with_passwords_are_secrets() -> None:
    assert {"secret_key", *CONTENTS} <= set(SECRETS)


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_is_the_same_from_a_file_as_from_its_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, end: str
) -> None:
    others = {"NETRA_EMAIL_FROM": "n@example.org", "NETRA_PUBLIC_URL": "https://c.example"}
    for other, value in others.items():
        monkeypatch.setenv(other, value)
    content = CONTENTS.get(name, KEY)
    monkeypatch.setenv(variable(name), content)
    expected = getattr(Config(), name)
    monkeypatch.delenv(variable(name))
    monkeypatch.setenv(f"{variable(name)}_FILE", written(tmp_path, content + end))
    assert getattr(Config(), name) == expected
    assert expected is not None


def test_only_the_end_of_the_last_line_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NETRA_SECRET_KEY_FILE", written(tmp_path, f" {KEY} \n\n"))
    assert Config().secret_key == SecretStr(f" {KEY} \n")


def test_what_is_wrong_with_the_content_is_said_of_the_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ended = started(NETRA_SECRET_KEY_FILE=written(tmp_path, "hunter2"))
    assert ended.returncode == 2
    assert ended.stderr == "netra: NETRA_SECRET_KEY must have at least 32 characters.\n"


def started(script: str = "import netra.settings", **environment: str) -> subprocess.CompletedProcess[str]:
    return python("-c", script, **environment)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read (No such file or directory)"),
        ("", "is empty"),
        ("\n", "is empty"),
        (b"hunter2\xff", "is no text"),
        ("hunter2\0", "is no text"),
        ("hunter2" * 200_000, "has more than 1048576 bytes"),
    ],
)
@pytest.mark.parametrize("name", ["NETRA_SECRET_KEY", "DATABASE_URL", "PGPASSWORD", "OPENAI_API_KEY"])
def test_a_file_that_is_of_no_use_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, content: str | bytes | None, reason: str
) -> None:
    path = str(tmp_path / "hunter2") if content is None else written(tmp_path, content)
    monkeypatch.setenv(f"{name}_FILE", path)
    with pytest.raises(SecretUnreadable) as refused:
        everything_read()
    assert str(refused.value) == f"{name}_FILE: the file that it names {reason}."
    assert os.environ.get(name) is None


def test_a_folder_and_a_path_that_is_none_are_refused_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NETRA_SECRET_KEY_FILE", str(tmp_path))
    with pytest.raises(SecretUnreadable, match=re.escape("(Is a directory)")):
        Config()
    monkeypatch.setenv("NETRA_SECRET_KEY_FILE", "hunter2" * 1000)
    with pytest.raises(SecretUnreadable) as refused:
        Config()
    assert "hunter2" not in str(refused.value), "somebody may take the variable for the secret's own"


@pytest.mark.parametrize("name", ["NETRA_SECRET_KEY", "REDIS_URL", "PGPASSWORD", "ANTHROPIC_API_KEY"])
def test_a_process_that_is_given_both_ends_with_one_sentence(tmp_path: Path, name: str) -> None:
    ended = started(**{name: "hunter2" * 9, f"{name}_FILE": written(tmp_path, "hunter3" * 9)})
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"netra: {name} and {name}_FILE are both set: only one of them may be.\n"


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NETRA_SECRET_KEY", "")
    monkeypatch.setenv("NETRA_EMAIL_URL_FILE", "")
    monkeypatch.setenv("NETRA_SECRET_KEY_FILE", written(tmp_path, KEY))
    found = Config()
    assert (found.secret_key, found.email_url) == (SecretStr(KEY), None)


def test_what_libraries_read_is_in_the_environment_of_the_process_and_of_those_it_starts(tmp_path: Path) -> None:
    script = """
import os, subprocess, sys, netra.settings
assert "OPENAI_API_KEY_FILE" not in os.environ
print(os.environ["OPENAI_API_KEY"], os.environ["PGPASSWORD"])
print(subprocess.run([sys.executable, "-c", "import netra.settings"]).returncode)
"""
    files = {}
    for name, content in (("OPENAI_API_KEY", "a key"), ("PGPASSWORD", "a password\n")):
        (tmp_path / name).write_text(content)
        files[f"{name}_FILE"] = str(tmp_path / name)
    ended = started(script, **files)
    assert (ended.stdout, ended.stderr) == ("a key a password\n0\n", "")


def test_a_variable_that_is_no_secret_s_names_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NETRA_MAX_OPEN_RUNS_FILE", written(tmp_path, "3"))
    monkeypatch.setenv("SSL_CERT_FILE", written(tmp_path, "3"))
    secret_files.give_to_libraries()
    assert Config().max_open_runs == Config.model_fields["max_open_runs"].default
    assert "SSL_CERT_FILE" in os.environ


def test_what_was_read_from_a_file_is_masked_wherever_a_text_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NETRA_SECRET_KEY_FILE", written(tmp_path, KEY))
    Config()
    assert redact(f"signed with {KEY}.") == f"signed with {MASK}."
