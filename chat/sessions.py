"""The sessions of a person: tokens are issued here, found to count, and all ended at once.

A session has no row that every request would have to read: a token names the epoch of its user's sessions and the
password on which it was issued, both of which are read with the user. So whatever ends sessions is one write, and holds
for each token at the moment of its commit, also for one that is just being issued or refreshed.
"""

from __future__ import annotations

from typing import Any, LiteralString

from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist
from django.db import connection
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken, Token
from rest_framework_simplejwt.utils import get_md5_hash_password

from chat.credential import EPOCH_CLAIM, Credential
from chat.errors import ConnectionRefused, ErrorCode
from chat.publisher import Publisher
from chat.run_event import now

# What is told to a user's connections: look whether your credential counts. It is believed by nobody: they look.
SESSIONS_ENDED = "sessions.ended"

_NEXT_EPOCH: LiteralString = """
    INSERT INTO chat_usercounters (user_id, last_run_number, threads_version, sessions_epoch)
    SELECT id, 0, 0, 1 FROM auth_user WHERE id = %s
    ON CONFLICT (user_id) DO UPDATE SET sessions_epoch = chat_usercounters.sessions_epoch + 1
"""
_BLACKLIST: LiteralString = """
    INSERT INTO token_blacklist_blacklistedtoken (token_id, blacklisted_at)
    SELECT id, now() FROM token_blacklist_outstandingtoken WHERE user_id = %s AND expires_at > now()
    ON CONFLICT (token_id) DO NOTHING
"""


def issue(user: Any) -> RefreshToken:
    """A new session: its refresh token, whose `access_token` has the same claims."""
    epoch = get_user_model().objects.filter(pk=user.pk).values_list("chat_counters__sessions_epoch", flat=True).first()
    refresh = RefreshToken.for_user(user)
    refresh[EPOCH_CLAIM] = epoch or 0
    return refresh


def user_of(token: Token) -> Any:
    """The user of a valid token, with counters and allowance. One query.

    Raises ConnectionRefused with USER_INACTIVE, or with INVALID_TOKEN when there is no such user, or the session of
    the token has ended.
    """
    try:
        found = get_user_model().objects.select_related("chat_counters", "chat_allowance").get(pk=token["user_id"])
    except (KeyError, ValueError, TypeError, ObjectDoesNotExist):
        raise _invalid() from None
    if not found.is_active:
        raise ConnectionRefused(ErrorCode.USER_INACTIVE, "The user is inactive")
    issued_on = Credential.of_claims(token.payload)
    if issued_on is None:
        raise _invalid()
    if issued_on != credential_of(found):
        raise session_ended()
    return found


def _invalid() -> ConnectionRefused:
    return ConnectionRefused(ErrorCode.INVALID_TOKEN, "The token is not valid")


def credential_of(user: Any) -> Credential:
    try:
        epoch = user.chat_counters.sessions_epoch
    except ObjectDoesNotExist:
        epoch = 0
    return Credential(epoch, get_md5_hash_password(user.password))


def counts(user_id: Any, credential: Credential) -> bool:
    """Whether the credential is still that of its user. One query."""
    user = get_user_model().objects.select_related("chat_counters").filter(pk=user_id, is_active=True).first()
    return user is not None and credential_of(user) == credential


def session_ended() -> ConnectionRefused:
    return ConnectionRefused(ErrorCode.INVALID_TOKEN, "The session has ended: sign in again")


def forget_expired(*, limit: int) -> int:
    """Remove refresh tokens that have expired anyway, with what says that they ended before. Returns how many."""
    expired = list(OutstandingToken.objects.filter(expires_at__lt=now()).values_list("pk", flat=True)[:limit])
    OutstandingToken.objects.filter(pk__in=expired).delete()
    return len(expired)


def end_all(user_id: Any, publisher: Publisher) -> None:
    """Inside a Django transaction: no token that was issued before counts any more, and open connections are closed.

    They are told after the commit; the position check of each process finds those that were not reached.
    """
    with connection.cursor() as cursor:
        cursor.execute(_NEXT_EPOCH, [user_id])
        cursor.execute(_BLACKLIST, [user_id])
    publisher.send_on_commit(user_id, {"type": SESSIONS_ENDED})
