"""The sessions of a person: whether tokens count, and the end of one session or all.

A token names its session, the epoch of its user's sessions and the password on which it was issued. All of them are
compared with what the database has, in the query that reads the user. So whatever ends sessions is one write, and holds
for each token at the moment of its commit, also for one that is just being issued (`chat.rotation`).
"""

from __future__ import annotations

import uuid
from typing import Any, LiteralString

from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken
from rest_framework_simplejwt.tokens import Token
from rest_framework_simplejwt.utils import get_md5_hash_password

from chat.credential import Credential
from chat.errors import ConnectionRefused, ErrorCode
from chat.models import EndedBy, Session
from chat.publisher import Publisher
from chat.run_event import now

# What is told to a user's connections: look whether your credential counts. It is believed by nobody: they look.
SESSIONS_ENDED = "sessions.ended"

_NEXT_EPOCH: LiteralString = """
    INSERT INTO chat_usercounters (user_id, last_run_number, threads_version, sessions_epoch)
    SELECT id, 0, 0, 1 FROM auth_user WHERE id = %s
    ON CONFLICT (user_id) DO UPDATE SET sessions_epoch = chat_usercounters.sessions_epoch + 1
"""


def user_of(token: Token) -> Any:
    """The user of a valid token, with counters and allowance. One query.

    Raises ConnectionRefused with USER_INACTIVE, or with INVALID_TOKEN when there is no such user, or the session of
    the token has ended.
    """
    issued_on = Credential.of_claims(token.payload)
    if issued_on is None:
        raise invalid()
    try:
        found = _with_session(issued_on).get(pk=token["user_id"])
    except (KeyError, ValueError, TypeError, ObjectDoesNotExist):
        raise invalid() from None
    check(
        issued_on,
        user_id=found.pk,
        is_active=found.is_active,
        epoch=epoch_of(found),
        password=found.password,
        has_session=issued_on.session is None or found.has_session,
    )
    return found


def check(
    issued_on: Credential, *, user_id: Any, is_active: bool, epoch: int, password: str, has_session: bool
) -> None:
    """Raises ConnectionRefused with USER_INACTIVE, or with INVALID_TOKEN when the credential does not count (any more).

    `password` is the stored hash; `has_session`: the session of the credential, if it has one, has not ended.
    """
    if not is_active:
        raise ConnectionRefused(ErrorCode.USER_INACTIVE, "The user is inactive", user_id=user_id)
    began_on = (epoch, str(get_md5_hash_password(password)))
    if began_on != (issued_on.epoch, issued_on.password) or not has_session:
        raise session_ended()


def counts(user_id: Any, credential: Credential) -> bool:
    """Whether a credential counts still. One query."""
    user = _with_session(credential).filter(pk=user_id, is_active=True).first()
    return user is not None and _has(user, credential)


def _with_session(credential: Credential) -> QuerySet[Any]:
    users = get_user_model().objects.select_related("chat_counters", "chat_allowance")
    if credential.session is None:
        return users
    living = Session.objects.filter(pk=credential.session, user=OuterRef("pk"), ended_at=None)
    return users.annotate(has_session=Exists(living))


def _has(user: Any, credential: Credential) -> bool:
    return (epoch_of(user), password_of(user)) == (credential.epoch, credential.password) and (
        credential.session is None or user.has_session
    )


def epoch_of(user: Any) -> int:
    try:
        return int(user.chat_counters.sessions_epoch)
    except ObjectDoesNotExist:
        return 0


def password_of(user: Any) -> str:
    return str(get_md5_hash_password(user.password))


def invalid() -> ConnectionRefused:
    return ConnectionRefused(ErrorCode.INVALID_TOKEN, "The token is not valid")


def session_ended() -> ConnectionRefused:
    return ConnectionRefused(ErrorCode.INVALID_TOKEN, "The session has ended: sign in again")


def living_sessions(user: Any) -> QuerySet[Session]:
    """Where a person is signed in, the newest sign-in first."""
    began_on = {"epoch": epoch_of(user), "password": password_of(user)}
    rows = Session.objects.filter(user_id=user.pk, ended_at=None, expires_at__gt=now(), **began_on)
    return rows.order_by("-created_at", "-id")


# The end


def end_one(session_id: uuid.UUID, by: EndedBy, publisher: Publisher, **of: Any) -> bool:
    """Inside a Django transaction: no token of the session counts any more, and its connections are closed.

    `of` says whose it has to be. False when there is no such session that lives.
    """
    living = Session.objects.filter(pk=session_id, ended_at=None, **of)
    user_id = living.values_list("user_id", flat=True).first()
    if user_id is None or not living.update(ended_at=now(), ended_by=by):
        return False
    tell(user_id, publisher)
    return True


def end_all(user_id: Any, publisher: Publisher) -> None:
    """Inside a Django transaction: no token that was issued before counts any more, and open connections are closed."""
    with connection.cursor() as cursor:
        cursor.execute(_NEXT_EPOCH, [user_id])
    Session.objects.filter(user_id=user_id, ended_at=None).update(ended_at=now(), ended_by=EndedBy.ALL)
    tell(user_id, publisher)


def tell(user_id: Any, publisher: Publisher) -> None:
    """After the commit, have the user's connections look whether they count.

    The position check of each process finds those that were not reached.
    """
    publisher.send_on_commit(user_id, {"type": SESSIONS_ENDED})


@transaction.atomic
def forget_expired(*, limit: int) -> int:
    """Remove sessions, and refresh tokens of releases before them, that have expired anyway. Returns how many."""
    at = now()
    ended = list(Session.objects.select_for_update(skip_locked=True).filter(expires_at__lt=at)[:limit])
    outstanding = list(OutstandingToken.objects.select_for_update(skip_locked=True).filter(expires_at__lt=at)[:limit])
    Session.objects.filter(pk__in=[session.pk for session in ended]).delete()
    OutstandingToken.objects.filter(pk__in=[token.pk for token in outstanding]).delete()
    return len(ended) + len(outstanding)
