"""`NETRA_EMAIL_URL`: the server that takes mails.

smtp://[user:password@]host[:25]     smtps:// with TLS from the beginning (465), smtp+starttls:// with STARTTLS (587)
console:     prints mails, for development
"""

from __future__ import annotations

from dataclasses import dataclass, field
from email.utils import parseaddr
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}
FORM = (
    "must look like smtp://user:password@host:25, smtps://… or smtp+starttls://… (special characters of the password "
    "as %40 and the like), or be console:"
)


@dataclass(frozen=True, slots=True)
class MailSettings:
    """What Django wants to know. `tls` from the beginning, `starttls` after it; at most one of them."""

    backend: str
    host: str = ""
    port: int = 0
    user: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    starttls: bool = False


NONE = MailSettings("django.core.mail.backends.dummy.EmailBackend")
CONSOLE = MailSettings("django.core.mail.backends.console.EmailBackend")


def settings_of(url: str) -> MailSettings:
    """Raises ValueError, which shows nothing of the address."""
    if url == "console:":
        return CONSOLE
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(FORM) from None
    if parts.scheme not in PORTS or not parts.hostname or parts.path.strip("/") or parts.query or port == 0:
        raise ValueError(FORM)
    return MailSettings(
        backend="django.core.mail.backends.smtp.EmailBackend",
        host=parts.hostname,
        port=port or PORTS[parts.scheme],
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        tls=parts.scheme == "smtps",
        starttls=parts.scheme == "smtp+starttls",
    )


def is_sender(text: str) -> bool:
    """Whether it is one address, with or without a name before it."""
    name, address = parseaddr(text)
    try:
        validate_email(address)
    except ValidationError:
        return False
    return "\n" not in text and "\r" not in text and (address == text.strip() or bool(name))
