"""How a session begins, and goes on from one refresh token to the next.

A refresh token is exchanged once. Whoever presents it again a little later, because several tabs asked at once or an
answer was lost, gets the token that it was exchanged for. Whoever presents it after that has a copy, or is who was
copied: nobody can tell which, so the session ends.
"""

from __future__ import annotations

import datetime
import uuid
from dataclasses import dataclass
from typing import Any, Final

import structlog
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import transaction
from rest_framework_simplejwt.exceptions import TokenError

from chat import audit
from chat.credential import Credential
from chat.errors import ChatError, ErrorCode
from chat.models import AuditAction, EndedBy, Session, SessionKind
from chat.network import network_of
from chat.publisher import Publisher
from chat.run_event import now
from chat.sessions import end_one, epoch_of, password_of, user_of
from chat.tokens import RefreshToken, seconds

logger = structlog.get_logger(__name__)

MAX_AGENT = 200
# Of tokens that are exchanged one after the other within the grace.
MAX_REPLACED: Final = 20


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from, as far as one can tell: `address` as `chat.addresses` has it."""

    agent: str
    address: str

    def fields(self) -> dict[str, str]:
        """What a session keeps of it."""
        network = network_of(self.address)
        return {
            "agent": "".join(letter for letter in self.agent if letter.isprintable())[:MAX_AGENT],
            "network": network if network != "unknown" else "",
        }


@dataclass(frozen=True, slots=True)
class Tokens:
    """`expires_in` is of the access token, `lasts` of the refresh token; in seconds."""

    access: str
    expires_in: int
    refresh: str
    lasts: int


def begin(user: Any, kind: SessionKind, origin: Origin) -> Tokens:
    """A new session. Its tokens do not count when the password is another one meanwhile."""
    epoch = get_user_model().objects.filter(pk=user.pk).values_list("chat_counters__sessions_epoch", flat=True).first()
    at = now()
    session = Session.objects.create(
        user_id=user.pk,
        kind=kind,
        epoch=epoch or 0,
        password=password_of(user),
        created_at=at,
        last_used_at=at,
        issued_at=at,
        expires_at=_expiry(at, began=at),
        token_id=uuid.uuid4(),
        **origin.fields(),
    )
    return _tokens(session)


def rotate(encoded: str, kind: SessionKind, origin: Origin, publisher: Publisher) -> Tokens:
    """The next tokens for a refresh token. `kind` is for a token of a release before sessions.

    Raises ChatError with INVALID_TOKEN, or with TOKEN_REUSED when the session has ended by this.
    """
    given = _read(encoded)
    with transaction.atomic():
        session = _locked(given, kind)
        at = now()
        if given.token_id == session.token_id:
            _renew(session, origin, at)
        elif not _was_replaced_lately(session, given.token_id, at):
            end_one(session.pk, EndedBy.REUSE, publisher)
            about = {"session": str(session.pk), "network": session.network}
            audit.record(AuditAction.TOKEN_REUSED, subject=session.user_id, address=origin.address, **about)
            session.ended_at = at
    if session.ended_at is not None:
        logger.warning("refresh_token_reused", user_id=str(session.user_id), session_id=str(session.pk))
        raise ChatError(
            ErrorCode.TOKEN_REUSED, "The refresh token was used before, so its session has ended: sign in again"
        )
    return _tokens(session)


@transaction.atomic
def sign_out(encoded: str, publisher: Publisher) -> Any:
    """End the session of a refresh token. Returns whose it was. Raises ChatError with INVALID_TOKEN."""
    given = _read(encoded)
    if given.credential.session is None:
        # Processes of a release before sessions know of no other end.
        given.token.blacklist()
    end_one(given.session_id, EndedBy.SIGN_OUT, publisher, user=given.user_id)
    return given.user_id


@dataclass(frozen=True, slots=True)
class _Given:
    """A valid refresh token, and what it says."""

    token: RefreshToken
    user_id: Any
    token_id: uuid.UUID
    credential: Credential

    @property
    def session_id(self) -> uuid.UUID:
        """A token of a release before sessions is taken into one that is named after it, whoever brings it first."""
        return self.credential.session or self.token_id


def _read(encoded: str) -> _Given:
    try:
        token = RefreshToken(encoded)  # type: ignore[arg-type]  # annotated as a Token, takes the encoded form
        user_id = get_user_model()._meta.pk.to_python(token["user_id"])
        token_id = uuid.UUID(token["jti"])
    except (TokenError, KeyError, ValueError, TypeError, AttributeError, ValidationError):
        raise _invalid() from None
    credential = Credential.of_claims(token.payload)
    if credential is None:
        raise _invalid()
    return _Given(token, user_id, token_id, credential)


def _locked(given: _Given, kind: SessionKind) -> Session:
    """The session of a token, alive. Whatever ends it from now on finds the token that is being made, too."""
    if given.credential.session is None:
        _adopt(given, kind)
    rows = Session.objects.select_for_update(of=("self",)).select_related("user__chat_counters")
    session = rows.filter(pk=given.session_id, user=given.user_id, ended_at=None, expires_at__gt=now()).first()
    if session is None or not session.user.is_active:
        raise _invalid()
    if (session.epoch, session.password) != (epoch_of(session.user), password_of(session.user)):
        raise _invalid()
    return session


def _adopt(given: _Given, kind: SessionKind) -> None:
    """A session for a token of a release before sessions, unless it has one already."""
    try:
        user_of(given.token)
    except ChatError:
        raise _invalid() from None
    began = datetime.datetime.fromtimestamp(given.token["iat"], datetime.UTC)
    ends = datetime.datetime.fromtimestamp(given.token["exp"], datetime.UTC)
    session = Session(
        id=given.token_id,
        user_id=given.user_id,
        kind=kind,
        epoch=given.credential.epoch,
        password=given.credential.password,
        created_at=began,
        last_used_at=now(),
        issued_at=began,
        # Not before the token: whoever brought it again would begin another session.
        expires_at=ends,
        token_id=given.token_id,
    )
    Session.objects.bulk_create([session], ignore_conflicts=True)


def _renew(session: Session, origin: Origin, at: datetime.datetime) -> None:
    lately = [pair for pair in session.replaced if _is_within_grace(pair[1], at)]
    session.replaced = [*lately, [session.token_id.hex, at.isoformat()]][-MAX_REPLACED:]
    session.token_id = uuid.uuid4()
    session.issued_at = session.last_used_at = at
    session.expires_at = _expiry(at, began=session.created_at)
    for name, value in origin.fields().items():
        setattr(session, name, value)
    session.save(
        update_fields=["replaced", "token_id", "issued_at", "last_used_at", "expires_at", *origin.fields()],
    )


def _was_replaced_lately(session: Session, token_id: uuid.UUID, at: datetime.datetime) -> bool:
    return any(replaced == token_id.hex and _is_within_grace(when, at) for replaced, when in session.replaced)


def _is_within_grace(when: str, at: datetime.datetime) -> bool:
    grace = datetime.timedelta(seconds=settings.NETRA.refresh_grace_seconds)
    return at - datetime.datetime.fromisoformat(when) < grace


def _expiry(at: datetime.datetime, *, began: datetime.datetime) -> datetime.datetime:
    """Use puts the end off, up to a bound: a copy of a token that nobody notices is not good for ever."""
    config = settings.NETRA
    unused, longest = datetime.timedelta(days=config.refresh_token_days), datetime.timedelta(days=config.session_days)
    return min(at + unused, began + longest)


def _tokens(session: Session) -> Tokens:
    """The same refresh token each time, as long as it is the session's."""
    refresh = RefreshToken()
    refresh.payload |= Credential(session.epoch, session.password, session.pk).claims()
    refresh["user_id"] = str(session.user_id)
    refresh["jti"] = session.token_id.hex
    refresh["iat"], refresh["exp"] = seconds(session.issued_at), seconds(session.expires_at)
    access = refresh.access_token
    access["exp"] = min(access["exp"], refresh["exp"])
    at = seconds(now())
    return Tokens(str(access), access["exp"] - at, str(refresh), refresh["exp"] - at)


def _invalid() -> ChatError:
    return ChatError(ErrorCode.INVALID_TOKEN, "The refresh token is not valid, or has expired")
