"""The environment, parsed and typed once. A wrong or missing value ends start-up with one sentence naming it."""

from __future__ import annotations

import functools
import os
import secrets
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Self
from urllib.parse import urlsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parent.parent
MINIMUM_SECRET_LENGTH = 32

CommaSeparated = Annotated[tuple[str, ...], NoDecode]


def default_data_dir() -> Path:
    """Root's data lives where the unprivileged user that PostgreSQL then needs can reach it."""
    return Path("/var/lib/netra") if hasattr(os, "geteuid") and os.geteuid() == 0 else PROJECT_ROOT / "data"


class Config(BaseSettings):
    """Every setting of Netra. Environment names are the field names with `NETRA_` before them.

    `DATABASE_URL` and `REDIS_URL` carry their usual names. Raises `pydantic.ValidationError`.
    """

    model_config = SettingsConfigDict(env_prefix="NETRA_", extra="ignore", env_ignore_empty=True, frozen=True)

    environment: Literal["development", "staging", "production"] = "development"
    debug: bool = False
    data_dir: Path = Field(default_factory=default_data_dir)
    secret_key: SecretStr = SecretStr("")
    database_url: str | None = Field(default=None, validation_alias="DATABASE_URL")
    redis_url: CommaSeparated = Field(default=(), validation_alias="REDIS_URL")
    allowed_hosts: CommaSeparated = ()
    allowed_origins: CommaSeparated = ()
    database_start_timeout: float = Field(default=30.0, gt=0, le=600)

    access_token_minutes: float = Field(default=10.0, gt=0, le=60)
    refresh_token_days: float = Field(default=14.0, gt=0, le=365)

    ws_reject: Literal["frame", "handshake"] = "frame"
    ws_connect_timeout: float = Field(default=1.5, gt=0, le=10)
    ws_window_bytes: int = Field(default=1_048_576, ge=4096)
    ws_window_timeout: float = Field(default=60.0, gt=0)
    ws_heartbeat_seconds: float = Field(default=25.0, gt=0)
    ws_position_check_seconds: float = Field(default=2.0, gt=0)
    max_message_bytes: int = Field(default=65_536, ge=1024)
    max_connections: int = Field(default=20, ge=1)
    max_open_runs: int = Field(default=10, ge=1)
    user_messages_per_minute: int = Field(default=60, ge=1)
    commands_per_minute: int = Field(default=1200, ge=1)

    worker: Literal["embedded", "external"] = "embedded"
    worker_concurrency: int = Field(default=100, ge=1)
    worker_shutdown_seconds: float = Field(default=5.0, ge=0)
    worker_heartbeat_seconds: float = Field(default=3.0, gt=0)
    worker_stalled_seconds: float = Field(default=12.0, gt=0)
    sweep_seconds: float = Field(default=15.0, gt=0)
    run_timeout: float = Field(default=600.0, gt=0)
    run_attempts: int = Field(default=3, ge=1)
    event_window_ms: int = Field(default=40, ge=0, le=1000)

    model: str | None = None
    offline_tokens_per_second: float = Field(default=40.0, ge=0)

    @field_validator("allowed_hosts", "allowed_origins", "redis_url", mode="before")
    @classmethod
    def _split_commas(cls, value: Any) -> Any:
        return tuple(item.strip() for item in value.split(",") if item.strip()) if isinstance(value, str) else value

    @field_validator("data_dir")
    @classmethod
    def _absolute_data_dir(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("database_url")
    @classmethod
    def _postgresql_only(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            parameters = conninfo_to_dict(value) if urlsplit(value).scheme in ("postgresql", "postgres") else {}
        except (ProgrammingError, ValueError):
            parameters = {}
        if not parameters.get("dbname"):
            raise ValueError("must look like postgresql://user:password@host:5432/name?sslmode=require")
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis_only(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(urlsplit(url).scheme not in ("redis", "rediss", "unix") for url in value):
            raise ValueError("must look like redis://host:6379/0 (several separated by commas)")
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _whole_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or not parts.netloc or parts.path:
                raise ValueError(f"{origin!r} must be a whole origin such as https://chat.example.org")
        return value

    @model_validator(mode="after")
    def _safe_outside_development(self) -> Self:
        secret = self.secret_key.get_secret_value()
        if secret and len(secret) < MINIMUM_SECRET_LENGTH:
            raise ValueError(f"NETRA_SECRET_KEY must have at least {MINIMUM_SECRET_LENGTH} characters")
        if self.worker_stalled_seconds <= 2 * self.worker_heartbeat_seconds:
            raise ValueError("NETRA_WORKER_STALLED_SECONDS must be more than twice NETRA_WORKER_HEARTBEAT_SECONDS")
        if self.environment == "development":
            return self
        if not secret:
            raise ValueError(f"NETRA_SECRET_KEY is required when NETRA_ENVIRONMENT is {self.environment}")
        if self.debug:
            raise ValueError(f"NETRA_DEBUG must be off when NETRA_ENVIRONMENT is {self.environment}")
        if not self.allowed_hosts or "*" in self.allowed_hosts:
            raise ValueError(
                f"NETRA_ALLOWED_HOSTS must name the hosts (not *) when NETRA_ENVIRONMENT is {self.environment}"
            )
        return self

    @property
    def effective_secret_key(self) -> str:
        """The secret key; in development one is made once and kept in the data folder."""
        return self.secret_key.get_secret_value() or _development_secret(self.data_dir)


def _development_secret(data_dir: Path) -> str:
    path = data_dir / "secret_key"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        # O_EXCL: of two processes that start at once, one writes and the other reads.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
    except FileExistsError:
        pass
    except OSError as error:
        stop(f"NETRA_DATA_DIR: {data_dir} cannot be written ({error.strerror}).")
    return path.read_text()


def explain(error: ValidationError) -> str:
    """One sentence that names the setting and what is wrong with it. Never shows a value that may be secret."""
    first = error.errors(include_url=False, include_input=False)[0]
    reason = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return f"{reason}."
    name = str(first["loc"][0])
    variable = name if name.isupper() else f"NETRA_{name.upper()}"
    return f"{variable}: {reason[:1].lower()}{reason[1:]}."


def stop(sentence: str) -> NoReturn:
    """End start-up with one sentence on standard error and exit status 2."""
    sys.stderr.write(f"netra: {sentence}\n")
    raise SystemExit(2)


@functools.cache
def load() -> Config:
    """The configuration of this process, read once."""
    try:
        return Config()
    except ValidationError as error:
        stop(explain(error))
