"""`NETRA_EMAIL_URL` as Django takes it."""

from __future__ import annotations

import pytest

from netra.email_url import CONSOLE, FORM, MailSettings, is_sender, settings_of

SMTP = "django.core.mail.backends.smtp.EmailBackend"


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("smtp://mail", MailSettings(SMTP, "mail", 25)),
        ("smtp://mail:2525/", MailSettings(SMTP, "mail", 2525)),
        ("smtps://u:p%40%2F@mail", MailSettings(SMTP, "mail", 465, "u", "p@/", tls=True)),
        ("smtp+starttls://u%40x:p@[::1]", MailSettings(SMTP, "::1", 587, "u@x", "p", starttls=True)),
        ("console:", CONSOLE),
    ],
)
def test_scheme_port_and_credentials_are_read(url: str, settings: MailSettings) -> None:
    assert settings_of(url) == settings


@pytest.mark.parametrize(
    "url",
    ["", "mail", "smtp://", "smtp://u:hunter2@mail:0", "smtp://mail/box", "smtp://mail?x=1", "smtp://[::1", "x://m"],
)
def test_what_is_no_server_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the whole text is compared
        settings_of(url)
    assert str(refused.value) == FORM


def test_the_password_is_not_shown() -> None:
    assert "hunter2" not in repr(settings_of("smtp://u:hunter2@mail"))


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("n@example.org", True),
        ("Netra <n@example.org>", True),
        ("n", False),
        ("a@example.org, b@example.org", False),
        ("Netra\n<n@example.org>", False),
        ("", False),
    ],
)
def test_a_sender_is_one_address(text: str, is_one: bool) -> None:
    assert is_sender(text) is is_one
