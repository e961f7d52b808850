"""New people, and whose name is whose.

Each user's name is claimed in the form in which names are the same (`chat.names`), whoever makes the user; who has it
first keeps it. Registration refuses a name that is claimed; an administrator, who sees both, may make such a user.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q

from chat.errors import ChatError, ErrorCode
from chat.models import ClaimedName
from chat.names import same_name
from chat.passwords import check_new


def username_of(given: str) -> str:
    """The name of the user whose name this is: as it stands, or in another writing. The given one when there is none.

    One query, whoever there is.
    """
    users = get_user_model().objects.filter(Q(username=given) | Q(claimed_name__name=same_name(given)))
    found = list(users.values_list("username", flat=True))
    return given if given in found or not found else str(found[0])


def register(*, username: str, email: str | None, password: str) -> Any:
    """Make a user. Nothing depends on whether others have the same e-mail address.

    Raises ChatError with INVALID_MESSAGE, PASSWORD_TOO_WEAK or NAME_TAKEN.
    """
    users = get_user_model()
    user = users(username=users.normalize_username(username), email=users.objects.normalize_email(email))
    _check_name(user)
    check_new(password, user, field="password")
    # Seen here before the work of the hash; what decides is the database, below.
    if ClaimedName.objects.filter(name=same_name(user.username)).exists():
        raise _taken()
    user.set_password(password)
    save_new(user)
    return user


def save_new(user: Any) -> None:
    """Raises ChatError with NAME_TAKEN."""
    try:
        with transaction.atomic():
            user.save(force_insert=True)
            if not ClaimedName.objects.filter(name=same_name(user.username), user=user).exists():
                raise _taken()
    except IntegrityError:
        raise _taken() from None


def is_usable_name(username: str) -> bool:
    """Whether a user can have it, if nobody has."""
    try:
        _check_name(get_user_model()(username=username))
    except ChatError:
        return False
    return True


def claim_name(sender: Any, instance: Any, update_fields: Any = None, **_: Any) -> None:  # noqa: ARG001
    """A receiver of `post_save`: of two users at once the second waits here, and finds the name claimed."""
    if update_fields is not None and "username" not in update_fields:
        return
    claim = ClaimedName(name=same_name(instance.get_username()), user=instance)
    with transaction.atomic():
        ClaimedName.objects.filter(user=instance).exclude(name=claim.name).delete()
        ClaimedName.objects.bulk_create([claim], ignore_conflicts=True)


def _check_name(user: Any) -> None:
    """Raises ChatError with INVALID_MESSAGE for what is no user name."""
    try:
        user._meta.get_field("username").clean(user.username, user)
    except ValidationError as error:
        problems = [{"field": "username", "problem": text} for text in error.messages]
        text = f"username: {error.messages[0]}"
        raise ChatError(ErrorCode.INVALID_MESSAGE, text, details={"problems": problems}) from None


def _taken() -> ChatError:
    return ChatError(ErrorCode.NAME_TAKEN, "This user name is taken")
