"""Passwords: a new one for somebody who knows the old one, or who reads the mails of the account.

Who asks for a mail is answered the same way, after the same work, whether there is such a person or not: the request is
stored, and a worker looks later.
"""

from __future__ import annotations

import datetime
import unicodedata
from typing import Any, LiteralString

import structlog
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.tokens import default_token_generator
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.db import connection, transaction
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode

from chat import jobs
from chat.errors import ChatError, ErrorCode
from chat.models import ResetRequest
from chat.publisher import Publisher
from chat.run_event import now
from chat.sessions import end_all

logger = structlog.get_logger(__name__)

# Of accounts with the same address, those that were made first: nobody can register them away.
MAX_ACCOUNTS_IN_A_MAIL = 10
# A mail that could not be sent is tried again that often, for as long as a link would be good.
RETRY = datetime.timedelta(seconds=30)
KEEP_TRYING = datetime.timedelta(hours=1)

_DUE: LiteralString = """
    UPDATE chat_resetrequest SET tried_at = %(now)s
    WHERE id IN (SELECT id FROM chat_resetrequest WHERE tried_at < %(before)s ORDER BY tried_at LIMIT 100
                 FOR UPDATE SKIP LOCKED)
    RETURNING id
"""


def check_new(password: str, user: Any, *, field: str) -> None:
    """Raises ChatError with PASSWORD_TOO_WEAK."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        problems = [{"field": field, "problem": f"{text[:1].lower()}{text[1:]}"} for text in error.messages]
        text = f"{field}: {problems[0]['problem']}"
        raise ChatError(ErrorCode.PASSWORD_TOO_WEAK, text, details={"problems": problems}) from None


def confirm(user: Any, password: str) -> None:
    """Raises ChatError with WRONG_PASSWORD."""
    if not user.check_password(password):
        raise wrong_password()


def change(user: Any, old: str, new: str, publisher: Publisher) -> None:
    """All sessions end. Raises ChatError with WRONG_PASSWORD or PASSWORD_TOO_WEAK."""
    confirm(user, old)
    check_new(new, user, field="new_password")
    if not _replace(user, new, publisher):
        raise wrong_password()


def wrong_password() -> ChatError:
    return ChatError(ErrorCode.WRONG_PASSWORD, "The password is wrong")


def _replace(user: Any, new: str, publisher: Publisher) -> bool:
    """False when the password is not any more the one that was looked at: of two changes at once one counts."""
    hashed = make_password(new)
    with transaction.atomic():
        unchanged = get_user_model().objects.filter(pk=user.pk, password=user.password, is_active=True)
        if not unchanged.update(password=hashed):
            return False
        end_all(user.pk, publisher)
    user.password = hashed
    return True


# Reset


@transaction.atomic
def ask_for_reset(email: str) -> None:
    """Store what is asked for, with a job that looks who it is."""
    request = ResetRequest.objects.create(email=email, created_at=(at := now()), tried_at=at)
    jobs.defer_reset_mail(request.pk)


@transaction.atomic
def send_reset_mail(request_id: int) -> None:
    """Send what was asked for, unless it is sent, or another worker is about to. What fails is tried again later."""
    request = ResetRequest.objects.select_for_update(skip_locked=True).filter(id=request_id).first()
    if request is None:
        return
    if request.created_at < now() - KEEP_TRYING:
        request.delete()
        logger.warning("reset_mail_given_up")
        return
    mails = _mails(_accounts(request.email))
    try:
        for mail in mails:
            mail.send()
    except OSError as error:  # those of smtplib are, too
        # Not the error itself: it may quote the address.
        logger.warning("reset_mail_not_sent", cause=type(error).__name__)
        return
    request.delete()
    logger.info("reset_mail_sent" if mails else "reset_mail_not_wanted")


def _accounts(email: str) -> list[Any]:
    """Who may reset a password by mail to this address. Compared once more as Python folds letters: the database may
    take different addresses for the same.
    """
    asked = _folded(email)
    candidates = get_user_model().objects.filter(email__iexact=email, is_active=True).order_by("date_joined", "pk")
    found = [user for user in candidates[:1000] if user.has_usable_password() and _folded(user.email) == asked]
    return found[:MAX_ACCOUNTS_IN_A_MAIL]


def _folded(email: str) -> str:
    return unicodedata.normalize("NFKC", email).casefold()


def _mails(accounts: list[Any]) -> list[EmailMessage]:
    """One for each address as it is stored, never as it was typed."""
    by_address: dict[str, list[Any]] = {}
    for user in accounts:
        by_address.setdefault(user.email, []).append(user)
    return [
        EmailMessage("Your password for Netra", _text(users), settings.DEFAULT_FROM_EMAIL, [address])
        for address, users in by_address.items()
    ]


def _text(users: list[Any]) -> str:
    links = "\n\n".join(f"{user.get_username()}:\n{reset_link(user)}" for user in users)
    minutes = settings.PASSWORD_RESET_TIMEOUT // 60
    return (
        "Somebody, probably you, asked for a new password for Netra. Choose it here:\n\n"
        f"{links}\n\n"
        f"The link is good for {minutes} minutes, and once. If it was not you, do nothing: your password stays.\n"
    )


def reset_link(user: Any) -> str:
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    return f"{settings.NETRA.public_url}/reset/{uid}/{default_token_generator.make_token(user)}"


def reset(uid: str, token: str, password: str, publisher: Publisher) -> Any:
    """Returns the user. All sessions end. Raises ChatError with INVALID_RESET_LINK or PASSWORD_TOO_WEAK."""
    user = _user_of_link(uid)
    if user is None or not default_token_generator.check_token(user, token):
        raise _invalid_link()
    check_new(password, user, field="password")
    if not _replace(user, password, publisher):
        raise _invalid_link()
    return user


def _user_of_link(uid: str) -> Any:
    try:
        pk = get_user_model()._meta.pk.to_python(urlsafe_base64_decode(uid).decode())
    except (ValueError, ValidationError):
        return None
    return get_user_model().objects.filter(pk=pk, is_active=True).first()


def _invalid_link() -> ChatError:
    return ChatError(ErrorCode.INVALID_RESET_LINK, "The link is not valid any more: ask for another one")


def take_up_unsent(*, stalled: float) -> None:
    """Try again what could not be sent, or whose worker was lost. `stalled`: seconds of a worker's silence."""
    for job_id, _ in jobs.lost(jobs.RESET_TASK, stalled=stalled):
        with transaction.atomic():
            jobs.bury_lost(job_id, stalled=stalled)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_DUE, {"now": now(), "before": now() - RETRY})
            due = [row[0] for row in cursor.fetchall()]
        for request_id in due:
            jobs.defer_reset_mail(request_id)
