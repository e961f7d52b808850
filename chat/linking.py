"""Whose an identity of a provider is: a user who is linked to it, or a new one where those are taken.

Nobody is ever found by a name or an e-mail address: who may choose theirs at the provider could choose somebody's.
"""

from __future__ import annotations

import secrets
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.utils.module_loading import import_string

from chat.errors import ChatError, ErrorCode, service_unavailable
from chat.identity import Identity, IdentityProvider, Presented, Refused, Unavailable
from chat.models import IdentityLink
from chat.registration import is_usable_name, save_new
from chat.run_event import now

logger = structlog.get_logger(__name__)

MAX_NAME, MAX_PROVIDER, MAX_SUBJECT = 150, 200, 255
TRIES = 5


def provider() -> IdentityProvider | None:
    """The configured one, made anew; None without one. Raises what its class raises, and TypeError for no provider."""
    described = settings.NETRA.identity_provider_settings
    if described is None:
        return None
    made: IdentityProvider = import_string(described["BACKEND"])(**described["OPTIONS"])
    if getattr(made, "speaks", None) not in ("token", "proxy") or not callable(getattr(made, "identify", None)):
        raise TypeError("the class has no `speaks` and `identify` of an identity provider")
    return made


def identify(asked: IdentityProvider, presented: Presented) -> Identity:
    """Raises ChatError with INVALID_TOKEN or TOKEN_EXPIRED, or with SERVICE_UNAVAILABLE."""
    try:
        return _checked(asked.identify(presented))
    except Refused as refused:
        logger.info("identity_refused", cause=str(refused))
        code = ErrorCode.TOKEN_EXPIRED if refused.expired else ErrorCode.INVALID_TOKEN
        text = "has expired" if refused.expired else "is not valid"
        raise ChatError(code, f"What the identity provider says of you {text}") from None
    except Unavailable as error:
        logger.warning("identity_provider_away", cause=str(error))
        raise service_unavailable("identity_provider") from None


def _checked(identity: Identity) -> Identity:
    """What can be kept. Raises Refused."""
    for text, longest in ((identity.provider, MAX_PROVIDER), (identity.subject, MAX_SUBJECT)):
        if not (0 < len(text) <= longest and text.isprintable()):
            raise Refused("provider or subject is empty, too long, or has what cannot be printed")
    return identity


def user_of(identity: Identity) -> Any:
    """Raises ChatError with IDENTITY_UNKNOWN or USER_INACTIVE."""
    user = _linked(identity)
    if user is None:
        if settings.NETRA.identity_registration != "open":
            raise ChatError(ErrorCode.IDENTITY_UNKNOWN, "Nobody here is linked to this identity: ask who runs it")
        user = _made(identity)
    if not user.is_active:
        raise ChatError(ErrorCode.USER_INACTIVE, "The user is inactive")
    return user


def _linked(identity: Identity) -> Any:
    links = IdentityLink.objects.filter(provider=identity.provider, subject=identity.subject)
    link = links.select_related("user").first()
    if link is None:
        return None
    links.update(last_used_at=now())
    return link.user


def _made(identity: Identity) -> Any:
    """A new user. Of two requests at once one makes it, and the other finds it."""
    for name in _names(identity.username):
        user = get_user_model()(username=name, email=_address(identity.email))
        user.set_unusable_password()
        try:
            with transaction.atomic():
                at = now()
                save_new(user)
                IdentityLink.objects.create(
                    provider=identity.provider, subject=identity.subject, user=user, created_at=at, last_used_at=at
                )
        except (ChatError, IntegrityError):
            # The name was taken, or the identity linked.
            if (linked := _linked(identity)) is not None:
                return linked
            continue
        logger.info("user_made_for_identity", user_id=str(user.pk))
        return user
    raise ChatError(ErrorCode.NAME_TAKEN, "No name could be found for a new user: try again")


def _names(wanted: str) -> list[str]:
    """The wanted one, and others that begin with it."""
    wanted = get_user_model().normalize_username(wanted).strip()
    name = wanted if is_usable_name(wanted) else "user"
    return [name, *(f"{name[: MAX_NAME - 7]}-{secrets.token_hex(3)}" for _ in range(TRIES))]


def _address(email: str) -> str:
    try:
        validate_email(email)
    except ValidationError:
        return ""
    return email if len(email) <= 254 else ""
