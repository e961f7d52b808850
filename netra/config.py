"""The environment, parsed and typed once. A wrong or missing value ends start-up with one sentence naming it."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import Any, Literal, NoReturn, Self, get_args

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from chat.signing_keys import DERIVED
from netra import secret_files
from netra.setting_values import (
    MINIMUM_METRICS_TOKEN,
    MINIMUM_SECRET_LENGTH,
    AccountDays,
    CommaSeparated,
    DescribedClass,
    Folder,
    HostNames,
    Keys,
    ListenAddress,
    MailServer,
    McpServers,
    MetricsToken,
    Origins,
    PageAddress,
    PostgresAddress,
    RedisAddresses,
    Sender,
    SigningKeys,
    WebAddress,
    described_class,
)

PROJECT_ROOT = Path(__file__).resolve().parent.parent
MINIMUM_DIFFERENT_CHARACTERS = 8
YEAR_SECONDS = 31_536_000
AGENT_MODEL_PREFIX = "NETRA_MODEL_"

ServerName = Literal["daphne", "uvicorn"]
SERVERS: tuple[ServerName, ...] = get_args(ServerName)


def default_data_dir() -> Path:
    """Root's data lives where the unprivileged user that PostgreSQL then needs can reach it."""
    return Path("/var/lib/netra") if hasattr(os, "geteuid") and os.geteuid() == 0 else PROJECT_ROOT / "data"


def models_by_agent() -> dict[str, str]:
    """The variables NETRA_MODEL_<AGENT> that are set and are no setting of their own, by what stands for <AGENT>."""
    known = {variable(name) for name in Config.model_fields}
    return {
        name.upper().removeprefix(AGENT_MODEL_PREFIX): value.strip()
        for name, value in sorted(os.environ.items())
        if name.upper().startswith(AGENT_MODEL_PREFIX) and name.upper() not in known and value.strip()
    }


class Config(BaseSettings):
    """Every setting of Netra. Environment names are the field names with `NETRA_` before them.

    `DATABASE_URL`, `REDIS_URL` and `ASGI_SERVER` carry their usual names. Raises `pydantic.ValidationError`.
    """

    model_config = SettingsConfigDict(
        env_prefix="NETRA_", extra="ignore", env_ignore_empty=True, frozen=True, allow_inf_nan=False
    )

    environment: Literal["development", "staging", "production"] = Field(
        default="development",
        description="Where this runs. Outside development a secret key and the hosts' names are required, cookies need "
        "HTTPS and logs are JSON.",
    )
    debug: bool = Field(default=False, description="Django's debug pages. In development only.")
    data_dir: Folder = Field(
        default_factory=default_data_dir,
        description="The folder of the embedded database and of the development secret. By default `data` beside "
        "`manage.py`, and for root `/var/lib/netra`.",
    )
    secret_key: SecretStr = Field(
        default=SecretStr(""),
        description=f"Signs tokens and cookies; at least {MINIMUM_SECRET_LENGTH} characters. In development one is "
        "made and kept in the data folder.",
    )
    secret_key_fallbacks: Keys = Field(
        default=(),
        description="Earlier secret keys, separated by commas or lines: what they have signed is good still, nothing "
        "new is signed with them ([how to change keys](accounts.md#changing-keys)).",
    )
    signing_keys: SigningKeys = Field(
        default=(),
        description="Keys for tokens alone, separated by commas or lines, each of at least "
        f"{MINIMUM_SECRET_LENGTH} characters: the first one signs, all verify. By default a key derived from "
        f"`NETRA_SECRET_KEY` signs; it verifies in any case, and is called `{DERIVED}` here "
        "([how to change keys](accounts.md#changing-keys)).",
    )
    database_url: PostgresAddress = Field(
        default=None,
        validation_alias="DATABASE_URL",
        description="PostgreSQL as `postgresql://user:password@host:5432/name`; libpq's options may follow as "
        "`?sslmode=require`. Without it the embedded PostgreSQL is used.",
    )
    redis_url: RedisAddresses = Field(
        default=(),
        validation_alias="REDIS_URL",
        description="Redis as `redis://host:6379/0`; several servers, separated by commas, share the users. "
        "`redis+sentinel://user:password@host1:26379,host2:26379/name/0` asks these Sentinels for the master `name`; "
        "`?sentinel_password=` is for them. With `rediss` it is TLS. Needed as soon as there is more than one process.",
    )
    allowed_hosts: HostNames = Field(
        default=(),
        description="The names under which this server is reached, separated by commas. In development it is this "
        "machine by default.",
    )
    allowed_origins: Origins = Field(
        default=(),
        description="Other sites whose pages may connect, as `https://chat.example.org`, separated by commas.",
    )
    trusted_proxy: bool = Field(
        default=False,
        description="Whether every request comes through a proxy that sets `X-Forwarded-Proto` and `X-Forwarded-For`, "
        "whatever the client said in them. Only then is it believed that a request was HTTPS, and where it came from.",
    )
    hsts_seconds: int | None = Field(
        default=None,
        ge=0,
        le=126_144_000,
        description="How long browsers remember to open this server by HTTPS only, told to those that did so; 0 tells "
        "nothing. By default a year outside development, behind a trusted proxy.",
    )
    database_start_timeout: float = Field(
        default=30.0, gt=0, le=600, description="Seconds to wait at start-up for a database that does not answer."
    )
    database_timeout: float = Field(
        default=10.0,
        ge=1,
        le=600,
        description="Seconds after which a statement without an answer is given up and its connection closed. "
        "Migrations take the time that they need.",
    )

    asgi_server: ServerName = Field(
        default="daphne",
        validation_alias="ASGI_SERVER",
        description="The server that `manage.py serve` runs.",
    )
    drain_seconds: float = Field(
        default=5.0,
        ge=0,
        le=300,
        description="Seconds that requests and sockets have to end when the server is told to. What is not sent by "
        "then is dropped.",
    )

    metrics_token: MetricsToken = Field(
        default=None,
        description=f"Who reads `/metrics` sends it as `Authorization: Bearer …`; at least {MINIMUM_METRICS_TOKEN} "
        "characters. Without it `/metrics` is open in development, and elsewhere not there "
        "([more](operations.md#watching-it)).",
    )
    metrics_listen: ListenAddress = Field(
        default=None,
        description="Where `manage.py worker` serves its `/metrics`, as `0.0.0.0:9100`; it serves nothing else. Web "
        "processes have it beside the page. Outside development it needs `NETRA_METRICS_TOKEN`.",
    )
    metrics_dir: Folder | None = Field(
        default=None,
        description="A folder in which the processes of this machine put their metrics together, so that each shows "
        "those of all: for several processes behind one port. Of one user, and of one system of process numbers.",
    )

    access_token_minutes: float = Field(default=10.0, gt=0, le=60, description="How long an access token is valid.")
    refresh_token_days: float = Field(
        default=14.0,
        gt=0,
        le=365,
        description="How long a refresh token is valid: after so long without use a person has to sign in again.",
    )
    session_days: float = Field(
        default=90.0,
        gt=0,
        le=3650,
        description="How long a session may last at most, however often it is used.",
    )
    refresh_grace_seconds: float = Field(
        default=30.0,
        ge=0,
        le=300,
        description="How long a refresh token that was exchanged already gives the same new one once more: for two "
        "tabs at once, and for an answer that was lost. Afterwards its use ends the session "
        "([more](accounts.md#sessions)).",
    )
    registration: Literal["closed", "open"] = Field(
        default="closed",
        description="Whether people may register by themselves; otherwise an administrator makes them "
        "([more](accounts.md)).",
    )
    password_sign_in: bool = Field(
        default=True,
        description="Whether people sign in with passwords; `false` where all of them come from "
        "`NETRA_IDENTITY_PROVIDER`. `/admin/` takes passwords of staff in any case.",
    )
    identity_provider: DescribedClass = Field(
        default=None,
        description="Who else says who people are: the path of a class, or JSON such as "
        '`{"BACKEND": "chat.identity.OidcProvider", "OPTIONS": {…}}` ([more](identity.md)).',
    )
    identity_registration: Literal["closed", "open"] = Field(
        default="closed",
        description="Whether an identity that nobody here is linked to becomes a new user; otherwise an administrator "
        "links people.",
    )
    sign_in_url: WebAddress = Field(
        default=None,
        description="Where people sign in before they come here, as `https://login.example.org/netra`: the page leads "
        "there.",
    )
    public_url: PageAddress = Field(
        default=None,
        description="The address of the page, as `https://chat.example.org`, for links in mails. Required with "
        "`NETRA_EMAIL_URL`.",
    )
    email_url: MailServer = Field(
        default=None,
        description="The server that takes mails: `smtp://user:password@host:25`, `smtps://` for TLS from the "
        "beginning, `smtp+starttls://` for TLS after it; `console:` prints them, in development only. Without it "
        "nobody can reset a password.",
    )
    email_from: Sender = Field(
        default=None,
        description="The sender of mails, as `Netra <netra@example.org>`. Required with `NETRA_EMAIL_URL`.",
    )

    ws_reject: Literal["frame", "handshake"] = Field(
        default="frame",
        description="How a refused socket learns why: by an error frame and a close code, or by a 403 of the "
        "handshake, which browsers cannot read.",
    )
    ws_connect_timeout: float = Field(
        default=1.5, gt=0, le=10, description="Seconds in which a socket is greeted or refused."
    )
    ws_window_bytes: int = Field(
        default=1_048_576, ge=4096, description="Bytes sent to a connection ahead of its acknowledgement."
    )
    ws_window_timeout: float = Field(
        default=60.0, gt=0, description="Seconds after which a connection whose window stays full is closed."
    )
    sse_keep_alive_seconds: float = Field(
        default=15.0, gt=0, description="After how much silence a stream of events sends a comment, for proxies."
    )
    ws_heartbeat_seconds: float = Field(default=25.0, gt=0, description="How often clients are asked to send a ping.")
    ws_position_check_seconds: float = Field(
        default=1.5,
        gt=0,
        description="How often the log is asked for what no wake-up announced, and whether who is connected may still "
        "be; give or take a fifth.",
    )
    max_message_bytes: int = Field(default=65_536, ge=1024, description="The largest frame that is accepted.")
    max_attachment_bytes: int = Field(
        default=10_485_760, ge=1, le=1_073_741_824, description="The largest file that a person can attach."
    )
    max_attachments: int = Field(default=10, ge=1, le=50, description="Files that one message may have.")
    max_person_attachment_bytes: int = Field(
        default=1_073_741_824,
        ge=1,
        description="What the files of one person may take together; each counts at least 4,096 bytes.",
    )
    attachment_storage: DescribedClass = Field(
        default=None,
        description="Where attached files are kept: the path of a Django storage class, or JSON such as "
        '`{"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": {…}}` ([more](attachments.md)). By default the '
        "folder `attachments` of the data folder.",
    )
    max_connections: int = Field(
        default=20,
        ge=1,
        description="Open sockets and streams of one user, in all processes that share a Redis ([more](limits.md)).",
    )
    max_open_runs: int = Field(default=10, ge=1, description="Runs of one user that are queued or under way.")
    runs_per_day: int = Field(
        default=0, ge=0, le=2**31 - 1, description="Runs of one user a day (UTC); 0 is no limit ([more](limits.md))."
    )
    tokens_per_day: int = Field(
        default=0, ge=0, le=2**53, description="Tokens of one user a day, read and written by models; 0 is no limit."
    )
    cost_usd_per_day: float = Field(
        default=0.0,
        ge=0,
        le=1e7,
        description="US dollars of one user a day, as far as the prices of models are known; 0 is no limit.",
    )
    user_messages_per_minute: int = Field(default=60, ge=1, description="Messages of one user a minute.")
    requests_per_minute: int = Field(
        default=1200, ge=1, description="Requests of one user a minute to the HTTP API ([more](limits.md))."
    )
    requests_per_minute_per_address: int = Field(
        default=3000, ge=1, description="Requests without a valid token that one address may send a minute."
    )
    connects_per_minute: int = Field(default=120, ge=1, description="Sockets that one user may open a minute.")
    connects_per_minute_per_address: int = Field(
        default=3000, ge=1, description="Sockets that may be opened a minute from one address, with a token."
    )
    commands_per_minute: int = Field(default=1200, ge=1, description="Frames that one socket may send a minute.")

    worker: Literal["embedded", "external"] = Field(
        default="embedded",
        description="Whether runs are executed inside the server's process, or by `manage.py worker` elsewhere.",
    )
    worker_concurrency: int = Field(default=100, ge=1, description="Runs that a worker executes at the same time.")
    worker_shutdown_seconds: float = Field(
        default=5.0, ge=0, description="Seconds that running runs have to end before they are handed back."
    )
    worker_heartbeat_seconds: float = Field(default=3.0, gt=0, description="How often a worker says that it is alive.")
    worker_stalled_seconds: float = Field(
        default=12.0,
        gt=0,
        description="Silence after which a worker is taken for lost; more than twice its heartbeat.",
    )
    sweep_seconds: float = Field(default=5.0, gt=0, description="How often the runs of lost workers are looked for.")
    run_timeout: float = Field(default=600.0, gt=0, description="Seconds that one run may take.")
    run_attempts: int = Field(default=3, ge=1, description="How often a run is begun when its workers are lost.")
    approval_seconds: float = Field(
        default=86_400.0, gt=0, le=31_536_000, description="Seconds that a person has to approve a tool's call."
    )
    event_retention: float = Field(
        default=0.0,
        ge=0,
        le=36_500,
        description="Days after which the events of an ended run are removed, its messages staying; 0 keeps them "
        "([more](retention.md)).",
    )
    thread_retention: float = Field(
        default=0.0,
        ge=0,
        le=36_500,
        description="Days after which threads that their people have not written in are deleted, archived ones and "
        "files too; 0 keeps them.",
    )
    model_request_retention: AccountDays = Field(
        default=0.0,
        ge=0,
        le=36_500,
        description="Days after which the account of requests to models, and so what people have used, is removed; "
        "at least 2, since limits count the day; 0 keeps it.",
    )
    audit_retention: float = Field(
        default=365.0,
        ge=0,
        le=36_500,
        description="Days after which entries of the audit log are removed; 0 keeps them ([more](accounts.md)).",
    )
    event_window_ms: int = Field(
        default=40, ge=0, le=1000, description="How long pieces of text are gathered into one event."
    )

    apps: CommaSeparated = Field(
        default=(),
        description="Django applications of your own, as `weather` or `weather.apps.WeatherConfig`, separated by "
        "commas.",
    )
    agents: CommaSeparated = Field(
        default=(),
        description="Agents of your own as `package.module:object`, separated by commas "
        "([how to make one](agents.md)).",
    )
    default_agent: str | None = Field(
        default=None, description="The agent that answers when none is named. By default `assistant`."
    )
    mcp_servers: McpServers = Field(
        default=None,
        description="MCP servers whose tools agents get: the path of a JSON file, or the JSON itself, in the usual "
        'form `{"mcpServers": {…}}` ([more](mcp.md)).',
    )
    model: str | None = Field(
        default=None,
        description="The language model as `provider:name`, for example `openai:gpt-5-mini` ([more](models.md)); "
        "`local` is a small one on this machine, `offline`, the default, is none.",
    )
    model_by_agent: dict[str, str] = Field(
        default_factory=models_by_agent,
        validation_alias="NETRA_MODEL_<AGENT>",
        description="The model of one agent, for example `NETRA_MODEL_TRIAGE`. The other settings that begin so are "
        "not about agents.",
    )
    model_fallback: str | None = Field(
        default=None,
        description="The model that is asked when the other one cannot be reached, is overloaded or fails, and "
        "nothing of an answer was seen.",
    )
    model_attempts: int = Field(
        default=3,
        ge=1,
        le=10,
        description="How often a model is asked that limits requests, fails or cannot be reached. An answer that has "
        "begun is not asked for again.",
    )
    model_connect_seconds: float = Field(
        default=5.0, gt=0, le=600, description="Seconds that connecting to a model's provider may take."
    )
    model_first_token_seconds: float = Field(
        default=60.0, gt=0, le=3600, description="Seconds until an answer has begun, after which it is given up."
    )
    model_silence_seconds: float = Field(
        default=60.0, gt=0, le=3600, description="Seconds without a further piece of an answer, after which it failed."
    )
    model_context_tokens: int | None = Field(
        default=None,
        ge=1000,
        description="What one request to a model may hold at most. By default what is known of the model.",
    )
    text_only_models: CommaSeparated = Field(
        default=(),
        description="Models that cannot read images, by the names that `NETRA_MODEL` and the like have for them, "
        "separated by commas. Others are sent images unless they are known to take none.",
    )
    offline_tokens_per_second: float = Field(
        default=40.0, ge=0, description="How fast the offline model speaks; 0 is without pause."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, secret_files.SecretFiles(settings_cls)

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if self.worker_stalled_seconds <= 2 * self.worker_heartbeat_seconds:
            raise ValueError("NETRA_WORKER_STALLED_SECONDS must be more than twice NETRA_WORKER_HEARTBEAT_SECONDS")
        if self.email_url is not None and not (self.email_from and self.public_url):
            raise ValueError("NETRA_EMAIL_FROM and NETRA_PUBLIC_URL are required with NETRA_EMAIL_URL")
        if not self.password_sign_in and self.identity_provider is None:
            raise ValueError("NETRA_PASSWORD_SIGN_IN can be false only with NETRA_IDENTITY_PROVIDER")
        return self

    @model_validator(mode="after")
    def _safe_outside_development(self) -> Self:
        secret = self.secret_key.get_secret_value()
        if secret and len(secret) < MINIMUM_SECRET_LENGTH:
            raise ValueError(f"NETRA_SECRET_KEY must have at least {MINIMUM_SECRET_LENGTH} characters")
        if self.environment == "development":
            return self
        if self.email_url is not None and self.email_url.get_secret_value().startswith("console:"):
            raise ValueError(f"NETRA_EMAIL_URL must name a server when NETRA_ENVIRONMENT is {self.environment}")
        if self.metrics_listen is not None and self.metrics_token is None:
            raise ValueError(f"NETRA_METRICS_TOKEN is required with NETRA_METRICS_LISTEN in {self.environment}")
        if not secret:
            raise ValueError(f"NETRA_SECRET_KEY is required when NETRA_ENVIRONMENT is {self.environment}")
        for name, keys in (("NETRA_SECRET_KEY", (self.secret_key,)), ("NETRA_SIGNING_KEYS", self.signing_keys)):
            texts = {key.get_secret_value() for key in keys} - {DERIVED}
            if any(len(set(text)) < MINIMUM_DIFFERENT_CHARACTERS for text in texts):
                raise ValueError(f"{name} must be random, as `openssl rand -hex 32` prints it")
        if self.debug:
            raise ValueError(f"NETRA_DEBUG must be off when NETRA_ENVIRONMENT is {self.environment}")
        if not self.allowed_hosts or "*" in self.allowed_hosts:
            raise ValueError(
                f"NETRA_ALLOWED_HOSTS must name the hosts (not *) when NETRA_ENVIRONMENT is {self.environment}"
            )
        return self

    @property
    def attachment_storage_settings(self) -> dict[str, Any]:
        """What Django's STORAGES has for attached files."""
        if self.attachment_storage is not None:
            return described_class(self.attachment_storage.get_secret_value())
        # Nobody else of this machine reads what people send.
        options = {
            "location": str(self.data_dir / "attachments"),
            "file_permissions_mode": 0o600,
            "directory_permissions_mode": 0o700,
        }
        return {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": options}

    @property
    def identity_provider_settings(self) -> dict[str, Any] | None:
        """`{"BACKEND", "OPTIONS"}`; None without a provider."""
        provider = self.identity_provider
        return described_class(provider.get_secret_value()) if provider is not None else None

    @property
    def effective_hsts_seconds(self) -> int:
        """A proxy without TLS is told of by no request that was HTTPS: then browsers are told nothing."""
        if self.hsts_seconds is not None:
            return self.hsts_seconds
        return YEAR_SECONDS if self.trusted_proxy and self.environment != "development" else 0

    @property
    def effective_secret_key(self) -> str:
        """The secret key; in development one is made once and kept in the data folder."""
        try:
            return self.secret_key.get_secret_value() or secret_files.kept_in(self.data_dir)
        except OSError as error:
            stop(f"NETRA_DATA_DIR: {self.data_dir} cannot be read or written ({error.strerror}).")


def explain(error: ValidationError) -> str:
    """One sentence that names the setting and what is wrong with it. Never shows a value that may be secret."""
    first = error.errors(include_url=False, include_input=False)[0]
    reason = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return f"{reason}."
    return f"{variable(str(first['loc'][0]))}: {reason[:1].lower()}{reason[1:]}."


def variable(name: str) -> str:
    """The environment variable of a setting, also of one that there is not."""
    known = name.lower() in Config.model_fields
    return secret_files.variable_of(Config, name.lower()) if known else f"NETRA_{name.upper()}"


def stop(sentence: str) -> NoReturn:
    """End start-up with one sentence on standard error and exit status 2."""
    sys.stderr.write(f"netra: {sentence}\n")
    raise SystemExit(2)


@functools.cache
def load() -> Config:
    """The configuration of this process, read once."""
    try:
        secret_files.give_to_libraries()
        return Config()
    except ValidationError as error:
        stop(explain(error))
    except secret_files.SecretUnreadable as error:
        stop(str(error))
