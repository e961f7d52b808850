"""Settings from the environment: read and typed, and refused with one sentence that names the one at fault."""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from netra import config
from netra.config import PROJECT_ROOT, Config, explain, variable
from netra.setting_values import MINIMUM_SECRET_LENGTH
from netra.settings_table import describe
from tests.netra.started import python

SECRET = "correct horse battery staple " * 2
STAGING = {"NETRA_ENVIRONMENT": "staging", "NETRA_SECRET_KEY": SECRET, "NETRA_ALLOWED_HOSTS": "chat.example.org"}


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("NETRA_") or name in ("DATABASE_URL", "REDIS_URL"):
            monkeypatch.delenv(name)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="netra-config-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def read(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Config:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Config()


def refusal(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    """The sentence with which the environment is refused."""
    with pytest.raises(ValidationError) as refused:
        read(monkeypatch, **environment)
    sentence = explain(refused.value)
    assert re.fullmatch(r"(NETRA_[A-Z_]+|DATABASE_URL|REDIS_URL|ASGI_SERVER)\b[^\n]*\.", sentence), sentence
    return sentence


# Reading


READ: list[tuple[str, str, Any]] = [
    ("sse_keep_alive_seconds", "5", 5.0),
    ("environment", "development", "development"),
    ("debug", "true", True),
    ("debug", "0", False),
    ("data_dir", "/srv/netra", Path("/srv/netra")),
    ("data_dir", "~/netra", Path.home() / "netra"),
    ("data_dir", "here", Path.cwd() / "here"),
    (
        "database_url",
        "postgresql://u:p@db:5432/netra?sslmode=require",
        "postgresql://u:p@db:5432/netra?sslmode=require",
    ),
    ("database_url", "postgres:///netra?host=/run/postgresql", "postgres:///netra?host=/run/postgresql"),
    ("database_url", "postgresql://u:p%40%2F@[::1]:5432/n", "postgresql://u:p%40%2F@[::1]:5432/n"),
    ("database_url", "postgresql://a:5432,b:5433/n", "postgresql://a:5432,b:5433/n"),
    ("redis_url", "redis://r:6379/0", ("redis://r:6379/0",)),
    ("redis_url", " redis://r/0, rediss://u:p@s:6380/1 ,", ("redis://r/0", "rediss://u:p@s:6380/1")),
    ("redis_url", "unix:///run/redis.sock", ("unix:///run/redis.sock",)),
    (
        "redis_url",
        "redis+sentinel://u:p@a:1,b/m/2, redis://r,rediss+sentinel://c/m,",
        ("redis+sentinel://u:p@a:1,b/m/2", "redis://r", "rediss+sentinel://c/m"),
    ),
    ("allowed_hosts", "a.example, .b.example,[::1]", ("a.example", ".b.example", "[::1]")),
    ("allowed_hosts", "*", ("*",)),
    ("allowed_origins", "https://a.example,http://b:8080", ("https://a.example", "http://b:8080")),
    ("trusted_proxy", "true", True),
    ("hsts_seconds", "0", 0),
    ("database_start_timeout", "1.5", 1.5),
    ("asgi_server", "uvicorn", "uvicorn"),
    ("drain_seconds", "2.5", 2.5),
    ("database_timeout", "30", 30.0),
    ("access_token_minutes", "5", 5.0),
    ("refresh_token_days", "0.5", 0.5),
    ("session_days", "0.5", 0.5),
    ("refresh_grace_seconds", "0", 0.0),
    ("signing_keys", f"{'a' * 32}, {'b' * 40},", (SecretStr("a" * 32), SecretStr("b" * 40))),
    ("signing_keys", f"{'a,' * 16}\n\n {'b' * 32}\n", (SecretStr("a," * 16), SecretStr("b" * 32))),
    ("signing_keys", f"derived,{'a' * 32}", (SecretStr("derived"), SecretStr("a" * 32))),
    ("secret_key_fallbacks", "a" * 32, (SecretStr("a" * 32),)),
    ("registration", "open", "open"),
    ("password_sign_in", "true", True),
    ("identity_registration", "open", "open"),
    ("sign_in_url", "https://login.example.org/netra", "https://login.example.org/netra"),
    (
        "identity_provider",
        '{"BACKEND": "a.B", "OPTIONS": {"x": 1}}',
        SecretStr('{"BACKEND": "a.B", "OPTIONS": {"x": 1}}'),
    ),
    ("public_url", "https://chat.example.org/", "https://chat.example.org"),
    ("public_url", "http://localhost:8000", "http://localhost:8000"),
    ("email_from", "Netra <netra@example.org>", "Netra <netra@example.org>"),
    ("ws_reject", "handshake", "handshake"),
    ("ws_connect_timeout", "0.2", 0.2),
    ("ws_window_bytes", "4096", 4096),
    ("ws_window_timeout", "1", 1.0),
    ("ws_heartbeat_seconds", "10", 10.0),
    ("ws_position_check_seconds", "0.1", 0.1),
    ("max_message_bytes", "1024", 1024),
    ("max_attachment_bytes", "1", 1),
    ("max_attachments", "50", 50),
    ("max_person_attachment_bytes", "1", 1),
    ("attachment_storage", "storages.backends.s3.S3Storage", SecretStr("storages.backends.s3.S3Storage")),
    ("max_connections", "1", 1),
    ("max_open_runs", "1", 1),
    ("runs_per_day", "50", 50),
    ("tokens_per_day", "100000", 100_000),
    ("cost_usd_per_day", "0.5", 0.5),
    ("metrics_token", "sixteen letters!", SecretStr("sixteen letters!")),
    ("metrics_listen", "[::1]:9100", "[::1]:9100"),
    ("metrics_dir", "/run/netra/metrics", Path("/run/netra/metrics")),
    ("metrics_dir", "here", Path.cwd() / "here"),
    ("user_messages_per_minute", "1", 1),
    ("commands_per_minute", "1", 1),
    ("requests_per_minute", "1", 1),
    ("requests_per_minute_per_address", "1", 1),
    ("connects_per_minute", "1", 1),
    ("connects_per_minute_per_address", "1", 1),
    ("worker", "external", "external"),
    ("worker_concurrency", "1", 1),
    ("worker_shutdown_seconds", "0", 0.0),
    ("worker_heartbeat_seconds", "5.9", 5.9),
    ("worker_stalled_seconds", "6.1", 6.1),
    ("sweep_seconds", "1", 1.0),
    ("approval_seconds", "60", 60.0),
    ("run_timeout", "1", 1.0),
    ("run_attempts", "1", 1),
    ("event_retention", "0.5", 0.5),
    ("audit_retention", "90", 90.0),
    ("thread_retention", "30", 30.0),
    ("model_request_retention", "2", 2.0),
    ("event_window_ms", "0", 0),
    ("apps", "weather, tides.apps.TidesConfig,", ("weather", "tides.apps.TidesConfig")),
    ("agents", "weather.agents:weather", ("weather.agents:weather",)),
    ("default_agent", "weather", "weather"),
    ("mcp_servers", '{"mcpServers": {}}', SecretStr('{"mcpServers": {}}')),
    ("model", "openai:gpt-5", "openai:gpt-5"),
    ("model_fallback", "offline", "offline"),
    ("model_attempts", "1", 1),
    ("model_connect_seconds", "0.5", 0.5),
    ("model_first_token_seconds", "120", 120.0),
    ("model_silence_seconds", "30", 30.0),
    ("model_context_tokens", "128000", 128_000),
    ("text_only_models", "openai:gpt-3.5-turbo, groq:x", ("openai:gpt-3.5-turbo", "groq:x")),
    ("offline_tokens_per_second", "0", 0.0),
]


@pytest.mark.parametrize(("name", "given", "value"), READ)
def test_a_setting_is_read_and_typed(monkeypatch: pytest.MonkeyPatch, name: str, given: str, value: Any) -> None:
    found = getattr(read(monkeypatch, **{variable(name): given}), name)
    assert found == value
    assert type(found) is type(value) or isinstance(value, Path)


def test_every_setting_is_read_somewhere_above() -> None:
    elsewhere = {"secret_key", "model_by_agent", "email_url"}
    assert {name for name, _, _ in READ} | elsewhere == set(Config.model_fields)


def test_what_is_no_setting_of_its_own_names_the_model_of_an_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(
        monkeypatch,
        NETRA_MODEL="openai:gpt-5",
        NETRA_MODEL_FALLBACK="offline",
        NETRA_MODEL_ATTEMPTS="2",
        NETRA_MODEL_TRIAGE=" openai:gpt-5-mini ",
        NETRA_MODEL_MY_OWN_2="anthropic:claude-sonnet-4-5",
        NETRA_MODEL_DATA=" ",
    )
    assert found.model_by_agent == {"TRIAGE": "openai:gpt-5-mini", "MY_OWN_2": "anthropic:claude-sonnet-4-5"}


def test_the_defaults_are_those_of_development(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(monkeypatch)
    assert (found.environment, found.debug, found.worker, found.model) == ("development", False, "embedded", None)
    assert (found.database_url, found.redis_url, found.allowed_hosts, found.allowed_origins) == (None, (), (), ())


@pytest.mark.parametrize("name", list(Config.model_fields))
def test_an_empty_setting_counts_as_not_set(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert getattr(read(monkeypatch, **{variable(name): ""}), name) == getattr(read(monkeypatch), name)


def test_a_deployment_that_is_complete_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(monkeypatch, **STAGING)
    assert found.effective_secret_key == SECRET
    assert SECRET not in repr(found)


MAIL = {"NETRA_EMAIL_URL": "console:", "NETRA_EMAIL_FROM": "n@example.org", "NETRA_PUBLIC_URL": "https://c.example"}


def test_a_mail_server_needs_a_sender_and_the_address_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, **MAIL).email_url == SecretStr("console:")
    for name in ("NETRA_EMAIL_FROM", "NETRA_PUBLIC_URL"):
        sentence = refusal(monkeypatch, **MAIL | {name: ""})
        assert "NETRA_EMAIL_FROM and NETRA_PUBLIC_URL" in sentence


def test_mails_are_not_printed_outside_development(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "NETRA_EMAIL_URL" in refusal(monkeypatch, **STAGING | MAIL)
    assert read(monkeypatch, **STAGING | MAIL | {"NETRA_EMAIL_URL": "smtps://u:hunter2@mail"}).email_url


def test_a_worker_s_metrics_are_for_who_has_the_token_outside_development(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, NETRA_METRICS_LISTEN=":9100").metrics_token is None
    assert "NETRA_METRICS_TOKEN" in refusal(monkeypatch, **STAGING | {"NETRA_METRICS_LISTEN": ":9100"})
    with_token = STAGING | {"NETRA_METRICS_LISTEN": ":9100", "NETRA_METRICS_TOKEN": "sixteen letters!"}
    assert read(monkeypatch, **with_token).metrics_listen == ":9100"


def test_settings_do_not_change_while_the_process_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError):
        read(monkeypatch).debug = True  # type: ignore[misc]


# Refusing


REFUSED = [
    ("environment", "prod"),
    ("debug", "maybe"),
    ("database_url", "mysql://u:hunter2@db/netra"),
    ("database_url", "postgresql://u:hunter2@db"),
    ("database_url", "u:hunter2@db/netra"),
    ("database_url", "dbname=netra password=hunter2"),
    ("database_url", "postgresql://u:hunter2/x@db/netra"),
    ("database_url", "postgresql://u:hunter2@x@db:port/netra"),
    ("database_url", "postgresql://u:hunter2@[::1/netra"),
    ("database_url", "postgresql://u:hunter2@db/netra?no_such_option=1"),
    ("redis_url", "http://:hunter2@r"),
    ("redis_url", "r:6379"),
    ("redis_url", "redis://r/0,ftp://s"),
    ("redis_url", "redis://:hunter2@r:port/0"),
    ("redis_url", "redis://:hunter2/x@r:6379/0"),
    ("redis_url", "redis://[::1"),
    ("redis_url", "redis://:hunter2@r/zero"),
    ("redis_url", "redis://a:6379,b:6379"),
    ("redis_url", "unix://"),
    ("redis_url", "redis+sentinel://:hunter2@a:26379"),
    ("redis_url", "redis+sentinel://:hunter2@a:26379/"),
    ("redis_url", "redis+sentinel://:hunter2@a:port/master"),
    ("redis_url", "redis+sentinel://:hunter2@a,,b/master"),
    ("redis_url", "redis+sentinel://:hunter2@/master"),
    ("redis_url", "redis+sentinel://:hunter2@a/master/zero"),
    ("redis_url", "redis+sentinel://a/master?password=hunter2"),
    ("redis_url", "redis+sentinel://[::1/master"),
    ("allowed_hosts", "https://a.example"),
    ("allowed_hosts", "a.example:443"),
    ("allowed_hosts", "a.example/path"),
    ("allowed_origins", "a.example"),
    ("allowed_origins", "https://a.example/"),
    ("allowed_origins", "ws://a.example"),
    ("allowed_origins", "https://"),
    ("hsts_seconds", "-1"),
    ("hsts_seconds", "126144001"),
    ("database_timeout", "0.5"),
    ("database_start_timeout", "0"),
    ("database_start_timeout", "601"),
    ("access_token_minutes", "0"),
    ("access_token_minutes", "61"),
    ("access_token_minutes", "ten"),
    ("refresh_token_days", "366"),
    ("session_days", "0"),
    ("refresh_grace_seconds", "301"),
    ("signing_keys", f"{'a' * 32},hunter2"),
    ("secret_key_fallbacks", "hunter2"),
    ("secret_key_fallbacks", "derived"),
    ("registration", "maybe"),
    ("password_sign_in", "false"),
    ("identity_registration", "maybe"),
    ("identity_provider", "hunter2"),
    ("sign_in_url", "login.example.org"),
    ("public_url", "chat.example.org"),
    ("public_url", "https://chat.example.org/netra"),
    ("public_url", "ftp://chat.example.org"),
    ("email_from", "netra"),
    ("email_from", "a@example.org, b@example.org"),
    ("email_from", "Netra\r\nBcc: b@example.org"),
    ("email_url", "http://u:hunter2@mail"),
    ("email_url", "smtp://u:hunter2@"),
    ("email_url", "smtp://u:hunter2@mail:port"),
    ("email_url", "smtp://u:hunter2/x@mail"),
    ("email_url", "console"),
    ("ws_reject", "silently"),
    ("ws_connect_timeout", "11"),
    ("ws_window_bytes", "4095"),
    ("ws_window_bytes", "1.5"),
    ("ws_window_timeout", "inf"),
    ("ws_heartbeat_seconds", "nan"),
    ("ws_position_check_seconds", "0"),
    ("max_message_bytes", "1023"),
    ("max_connections", "0"),
    ("max_open_runs", "0"),
    ("runs_per_day", "-1"),
    ("tokens_per_day", "1.5"),
    ("cost_usd_per_day", "inf"),
    ("user_messages_per_minute", "0"),
    ("commands_per_minute", "-1"),
    ("requests_per_minute", "0"),
    ("connects_per_minute_per_address", "0"),
    ("worker", "none"),
    ("worker_concurrency", "0"),
    ("asgi_server", "gunicorn"),
    ("drain_seconds", "-1"),
    ("worker_shutdown_seconds", "-1"),
    ("worker_heartbeat_seconds", "0"),
    ("worker_stalled_seconds", "0"),
    ("sweep_seconds", "0"),
    ("run_timeout", "0"),
    ("run_attempts", "0"),
    ("audit_retention", "-1"),
    ("thread_retention", "-1"),
    ("model_request_retention", "1.5"),
    ("event_window_ms", "1001"),
    ("offline_tokens_per_second", "-1"),
    ("model_attempts", "0"),
    ("model_connect_seconds", "0"),
    ("model_first_token_seconds", "0"),
    ("model_silence_seconds", "-1"),
    ("model_context_tokens", "999"),
    ("secret_key", "hunter2"),
    ("mcp_servers", '{"mcpServers": {"x": {}}}'),
    ("max_attachment_bytes", "0"),
    ("max_attachments", "51"),
    ("max_person_attachment_bytes", "0"),
    ("attachment_storage", "hunter2"),
    ("attachment_storage", '{"BACKEND": "a.B", "OPTIONS": {"secret_key": "hunter2"'),
    ("attachment_storage", '{"BACKEND": "a.B", "OPTIONS": "hunter2"}'),
    ("attachment_storage", '{"OPTIONS": {}}'),
    ("attachment_storage", "/var/hunter2"),
    ("metrics_token", "hunter2"),
    ("metrics_listen", "9100"),
    ("metrics_listen", "hunter2@host:9100"),
]


@pytest.mark.parametrize(("name", "given"), REFUSED)
def test_a_wrong_value_is_refused_in_one_sentence_that_names_it(
    monkeypatch: pytest.MonkeyPatch, name: str, given: str
) -> None:
    sentence = refusal(monkeypatch, **{variable(name): given})
    assert sentence.startswith(variable(name))
    assert "hunter2" not in sentence


def test_a_worker_must_be_silent_for_more_than_two_heartbeats_to_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = refusal(monkeypatch, NETRA_WORKER_HEARTBEAT_SECONDS="3", NETRA_WORKER_STALLED_SECONDS="6")
    assert sentence == "NETRA_WORKER_STALLED_SECONDS must be more than twice NETRA_WORKER_HEARTBEAT_SECONDS."


@pytest.mark.parametrize("environment", ["staging", "production"])
@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"NETRA_SECRET_KEY": ""}, "NETRA_SECRET_KEY"),
        ({"NETRA_SECRET_KEY": "hunter2"}, "NETRA_SECRET_KEY"),
        ({"NETRA_SECRET_KEY": "hunter" * 10}, "NETRA_SECRET_KEY"),
        ({"NETRA_ALLOWED_HOSTS": ""}, "NETRA_ALLOWED_HOSTS"),
        ({"NETRA_ALLOWED_HOSTS": " , "}, "NETRA_ALLOWED_HOSTS"),
        ({"NETRA_ALLOWED_HOSTS": "*"}, "NETRA_ALLOWED_HOSTS"),
        ({"NETRA_ALLOWED_HOSTS": "chat.example.org,*"}, "NETRA_ALLOWED_HOSTS"),
        ({"NETRA_DEBUG": "1"}, "NETRA_DEBUG"),
    ],
)
def test_outside_development_what_is_unsafe_is_refused(
    monkeypatch: pytest.MonkeyPatch, environment: str, changes: dict[str, str], names: str
) -> None:
    sentence = refusal(monkeypatch, **{**STAGING, "NETRA_ENVIRONMENT": environment, **changes})
    assert sentence.startswith(names)
    assert SECRET not in sentence


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({"NETRA_TRUSTED_PROXY": "1"}, config.YEAR_SECONDS),
        ({}, 0),
        ({"NETRA_TRUSTED_PROXY": "1", "NETRA_HSTS_SECONDS": "0"}, 0),
        ({"NETRA_HSTS_SECONDS": "3600"}, 3600),
        ({"NETRA_TRUSTED_PROXY": "1", "NETRA_ENVIRONMENT": "development"}, 0),
    ],
)
def test_browsers_are_told_to_keep_to_https_where_a_proxy_tells_what_is_https(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], seconds: int
) -> None:
    assert read(monkeypatch, **STAGING | changes).effective_hsts_seconds == seconds


# Starting


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({"NETRA_MAX_OPEN_RUNS": "many"}, "NETRA_MAX_OPEN_RUNS"),
        ({"DATABASE_URL": "postgresql://u:hunter2/x@db/netra"}, "DATABASE_URL"),
        ({"NETRA_ENVIRONMENT": "production"}, "NETRA_SECRET_KEY"),
        ({"NETRA_DATA_DIR": "/dev/null/data"}, "NETRA_DATA_DIR"),
    ],
)
def test_a_process_with_a_wrong_setting_ends_with_status_2_and_one_sentence(
    environment: dict[str, str], names: str
) -> None:
    ended = python("-c", "import netra.settings", **environment)
    assert (ended.returncode, ended.stdout) == (2, "")
    [sentence] = ended.stderr.splitlines()
    assert sentence.startswith(f"netra: {names}")
    assert sentence.endswith(".")
    assert "hunter2" not in sentence


def test_every_command_says_the_same(data_dir: Path) -> None:
    for command in ("check", "migrate", "serve", "worker"):
        ended = python("manage.py", command, NETRA_DATA_DIR=str(data_dir), NETRA_WORKER="both")
        assert (ended.returncode, ended.stdout) == (2, "")
        expected = "netra: NETRA_WORKER: input should be 'embedded' or 'external'.\n"
        assert ended.stderr == expected
    assert list(data_dir.iterdir()) == [], "nothing was begun"


def test_a_database_that_never_answers_ends_the_start_with_one_sentence(data_dir: Path) -> None:
    ended = python(
        *("manage.py", "serve", "--port", "1"),
        NETRA_DATA_DIR=str(data_dir),
        DATABASE_URL="postgresql://u:hunter2@127.0.0.1:1/netra",
        NETRA_DATABASE_START_TIMEOUT="0.1",
    )
    assert ended.returncode == 2
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("netra: DATABASE_URL: the database did not answer within 0.1 seconds (")
    assert "hunter2" not in ended.stderr


def test_the_databases_address_reaches_django_whole(data_dir: Path) -> None:
    script = """
import json, netra.settings as s
found = s.DATABASES["default"]
wanted = {name: found[name] for name in ("NAME", "USER", "PASSWORD", "HOST", "PORT")}
print(json.dumps(wanted | found["OPTIONS"], default=str))
"""
    url = "postgresql://u%40x:p%2F%40%3A@db.example:5433/my%20base?sslmode=require&connect_timeout=7"
    found = json.loads(python("-c", script, NETRA_DATA_DIR=str(data_dir), DATABASE_URL=url).stdout)
    assert {name: found[name] for name in ("NAME", "USER", "PASSWORD", "HOST", "PORT")} == {
        "NAME": "my base",
        "USER": "u@x",
        "PASSWORD": "p/@:",
        "HOST": "db.example",
        "PORT": "5433",
    }
    assert (found["sslmode"], found["connect_timeout"]) == ("require", "7")


# The secret of development


def test_a_development_secret_is_made_once_for_its_owner_only(data_dir: Path) -> None:
    found = Config(data_dir=data_dir / "new").effective_secret_key
    assert len(found) >= MINIMUM_SECRET_LENGTH
    assert Config(data_dir=data_dir / "new").effective_secret_key == found
    path = data_dir / "new" / "secret_key"
    assert path.read_text() == found
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret_key"]


def test_another_folder_has_another_secret(data_dir: Path) -> None:
    made = {Config(data_dir=data_dir / name).effective_secret_key for name in "abc"}
    assert len(made) == 3


def test_processes_that_start_at_once_agree_on_the_secret(data_dir: Path) -> None:
    script = "from netra.config import Config; print(Config().effective_secret_key)"

    def start(_: int) -> str:
        ended = python("-c", script, NETRA_DATA_DIR=str(data_dir))
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.strip()

    with ThreadPoolExecutor(4) as pool:
        secrets = set(pool.map(start, range(4)))
    assert secrets == {(data_dir / "secret_key").read_text()}


def test_threads_that_start_at_once_never_read_half_a_secret(data_dir: Path) -> None:
    for attempt in range(30):
        settings = Config(data_dir=data_dir / str(attempt))
        with ThreadPoolExecutor(8) as pool:
            secrets = set(pool.map(lambda s: s.effective_secret_key, [settings] * 8))
        assert len(secrets) == 1
        assert len(secrets.pop()) >= MINIMUM_SECRET_LENGTH


# The document


def test_the_document_is_what_the_module_prints() -> None:
    printed = python("-m", "netra.settings_table")
    assert (printed.returncode, printed.stderr) == (0, "")
    assert printed.stdout == describe()
    written = (PROJECT_ROOT / "docs" / "configuration.md").read_text()
    assert written == printed.stdout, "write it with: python -m netra.settings_table > docs/configuration.md"


def test_the_document_explains_every_setting() -> None:
    rows = {row.split("`")[1]: row for row in describe().splitlines() if row.startswith("| `")}
    assert rows.keys() == {variable(name) for name in Config.model_fields}
    for name, field in Config.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        assert "|" not in field.description
    assert rows["NETRA_EVENT_WINDOW_MS"].startswith(
        "| `NETRA_EVENT_WINDOW_MS` | whole number from 0 to 1000 | `40` | How long"
    )
