"""What the values of settings have to look like: types whose ValueErrors say it, and show no value that may be secret.

Those of settings that may be left out take None, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode

from agents.errors import AgentsUnusable
from agents.mcp import config as mcp_config
from chat.signing_keys import DERIVED
from netra import email_url, listen_address, redis_url
from netra.secret_files import HoldsPassword

MINIMUM_SECRET_LENGTH = 32
MINIMUM_METRICS_TOKEN = 16

T = TypeVar("T")


def _if_given(check: Callable[[T], object]) -> AfterValidator:
    """What `check` raises nothing for is taken as it is."""

    def checked(value: T | None) -> T | None:
        if value is not None:
            check(value)
        return value

    return AfterValidator(checked)


def _each(check: Callable[[T], object]) -> AfterValidator:
    """As `_if_given`, of several."""

    def checked(values: tuple[T, ...]) -> tuple[T, ...]:
        for value in values:
            check(value)
        return values

    return AfterValidator(checked)


def _split(separate: Callable[[str], tuple[str, ...]]) -> BeforeValidator:
    """A text is several values; what is several already stays so."""
    return BeforeValidator(lambda value: separate(value) if isinstance(value, str) else value)


def _at_commas(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _keys(*words: str) -> BeforeValidator:
    """Keys, and `words` that stand for some."""

    def separate(text: str) -> tuple[str, ...]:
        # A key may have a comma: then there are lines.
        separated = text.splitlines() if "\n" in text else text.split(",")
        keys = tuple(key.strip() for key in separated if key.strip())
        if any(len(key) < MINIMUM_SECRET_LENGTH and key not in words for key in keys):
            raise ValueError(f"each key must have at least {MINIMUM_SECRET_LENGTH} characters")
        return keys

    return _split(separate)


def _metrics_token(value: SecretStr) -> None:
    if len(value.get_secret_value()) < MINIMUM_METRICS_TOKEN:
        raise ValueError(f"must have at least {MINIMUM_METRICS_TOKEN} characters")


def _postgresql(value: str) -> None:
    try:
        parameters = conninfo_to_dict(value) if urlsplit(value).scheme in ("postgresql", "postgres") else {}
    except (ProgrammingError, ValueError):
        parameters = {}
    # An unescaped character in a password makes a part of it the port, which errors of a connection then show.
    ports = str(parameters.get("port") or "").split(",")
    if not parameters.get("dbname") or not all(port.isdecimal() or not port for port in ports):
        raise ValueError(
            "must look like postgresql://user:password@host:5432/name?sslmode=require, "
            "with special characters of the password as %40 and the like"
        )


def _days_of_the_account(value: float) -> None:
    if 0 < value < 2:
        raise ValueError("must be 0, or 2 days at least")


def _mcp_servers(value: SecretStr) -> None:
    try:
        mcp_config.read_mcp_servers(value.get_secret_value())
    except AgentsUnusable as error:
        raise ValueError(str(error).removeprefix(f"{mcp_config.VARIABLE}: ").removesuffix(".")) from None


def _sender(value: str) -> None:
    if not email_url.is_sender(value):
        raise ValueError("must look like netra@example.org or Netra <netra@example.org>")


def _web_address(value: str) -> None:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address as https://login.example.org/netra")


def _page_address(value: str | None) -> str | None:
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("must be the address of the page, as https://chat.example.org")
    return f"{parts.scheme}://{parts.netloc}"


def _bare_name(host: str) -> None:
    if "/" in host or (":" in host and not host.startswith("[")):
        raise ValueError(f"{host!r} must be a name without scheme and port such as chat.example.org")


def _whole_origin(origin: str) -> None:
    parts = urlsplit(origin)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path:
        raise ValueError(f"{origin!r} must be a whole origin such as https://chat.example.org")


def described_class(text: str) -> dict[str, Any]:
    """`{"BACKEND", "OPTIONS"}` of a class that is named or described. Raises ValueError, which shows no value."""
    if not text.lstrip().startswith("{"):
        given: Any = {"BACKEND": text.strip()}
    else:
        try:
            given = json.loads(text)
        except ValueError:
            raise ValueError("is no valid JSON") from None
    backend, options = given.get("BACKEND"), given.get("OPTIONS", {})
    if not isinstance(backend, str) or not all(part.isidentifier() for part in backend.split(".")):
        raise ValueError("must name a class as package.module.Class, or have it as BACKEND")
    if "." not in backend or not isinstance(options, dict) or given.keys() - {"BACKEND", "OPTIONS"}:
        raise ValueError("must be the path of a class, or an object of BACKEND and OPTIONS")
    return {"BACKEND": backend, "OPTIONS": options}


CommaSeparated = Annotated[tuple[str, ...], NoDecode, _split(_at_commas)]
HostNames = Annotated[CommaSeparated, _each(_bare_name)]
Origins = Annotated[CommaSeparated, _each(_whole_origin)]
RedisAddresses = Annotated[
    tuple[str, ...], NoDecode, HoldsPassword, _split(redis_url.split), _each(redis_url.channels_host)
]
Keys = Annotated[tuple[SecretStr, ...], NoDecode, _keys()]
SigningKeys = Annotated[tuple[SecretStr, ...], NoDecode, _keys(DERIVED)]
Folder = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]
AccountDays = Annotated[float, _if_given(_days_of_the_account)]

PostgresAddress = Annotated[str | None, HoldsPassword, _if_given(_postgresql)]
MetricsToken = Annotated[SecretStr | None, _if_given(_metrics_token)]
ListenAddress = Annotated[str | None, _if_given(listen_address.parse)]
WebAddress = Annotated[str | None, _if_given(_web_address)]
PageAddress = Annotated[str | None, AfterValidator(_page_address)]
MailServer = Annotated[SecretStr | None, _if_given(lambda value: email_url.settings_of(value.get_secret_value()))]
Sender = Annotated[str | None, _if_given(_sender)]
McpServers = Annotated[SecretStr | None, _if_given(_mcp_servers)]
DescribedClass = Annotated[SecretStr | None, _if_given(lambda value: described_class(value.get_secret_value()))]
