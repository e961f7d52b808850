"""A person, as the commands about one find them."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError

from chat.models import UserCounters


def person_named(name: str) -> Any:
    """The user with exactly this name. Raises CommandError."""
    users = get_user_model()
    person = users.objects.filter(**{users.USERNAME_FIELD: name}).first()
    if person is None:
        raise CommandError(f"There is nobody named {name!r}; names are written as they were registered.")
    if UserCounters.objects.filter(user_id=person.pk, deleted_at__isnull=False).exists():
        raise CommandError("The account is deleted already: the sweep removes what is left of it.")
    return person
