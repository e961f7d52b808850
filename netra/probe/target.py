"""What is to be probed, with which credentials: read once, refused with one sentence."""

from __future__ import annotations

import math
import re
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 10.0
HIDDEN = "[hidden]"
# Base64url of `{"`, and that of it once more: a token as it is, and as a subprotocol has it.
_JWT = re.compile(r"\b(?:eyJ|ZXlK)[\w-]+(?:\.[\w-]*)*=*")


class WrongUsage(Exception):
    """What was asked for cannot be probed; the text is a sentence for the person who asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A deployment by its address. `timeout` is how long one answer is waited for, in seconds."""

    url: str
    host: str
    port: int
    token: str | None = field(default=None, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    agent: str | None = None
    origin: str | None = None
    timeout: float = TIMEOUT_SECONDS
    tls: ssl.SSLContext | None = None

    @property
    def has_credentials(self) -> bool:
        return self.token is not None or self.username is not None


def read_target(url: str, *, ca_file: str | None = None, insecure: bool = False, **options: Any) -> Target:
    """`options` are fields of Target. Raises WrongUsage."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        raise WrongUsage("URL: its port is no port") from None
    if parts.scheme not in ("http", "https") or not host:
        raise WrongUsage("URL: must begin with http:// or https:// and name a host, as https://chat.example.org")
    if parts.username or parts.password:
        raise WrongUsage("URL: must hold no user name and no password; see --username")
    if parts.query or parts.fragment:
        raise WrongUsage("URL: must be the address of the server, without ? and #")
    secure = parts.scheme == "https"
    if not secure and (ca_file or insecure):
        raise WrongUsage("--ca-file and --insecure are for https:// only")
    if ca_file and insecure:
        raise WrongUsage("--ca-file and --insecure contradict each other")
    if options.get("token") is not None and options.get("username") is not None:
        raise WrongUsage("--token and --username are two ways to be somebody: give one")
    if not 0 < options.get("timeout", TIMEOUT_SECONDS) < math.inf:
        raise WrongUsage("--timeout: must be more than 0 seconds")
    return Target(
        url=url.rstrip("/"),
        host=host,
        port=port or (443 if secure else 80),
        tls=_tls(ca_file, insecure=insecure) if secure else None,
        **options,
    )


def _tls(ca_file: str | None, *, insecure: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise WrongUsage(f"--ca-file: {ca_file} has no certificates that can be read ({error})") from None
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def hide(secrets: frozenset[str], found: Any) -> Any:
    """JSON data without these texts and without whatever is a JWT, wherever a server has put them.

    Names of fields are ours and stay.
    """
    if isinstance(found, str):
        found = _JWT.sub(HIDDEN, found)
        for secret in sorted(secrets - {""}, key=len, reverse=True):
            found = found.replace(secret, HIDDEN)
        return found
    if isinstance(found, dict):
        return {name: hide(secrets, value) for name, value in found.items()}
    if isinstance(found, list | tuple):
        return [hide(secrets, value) for value in found]
    return found
