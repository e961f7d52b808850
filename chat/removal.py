"""The end of an account: out of reach at once, in one transaction, and then removed in steps.

What is left of it is in the database (`UserCounters.deleted_at`), so whichever sweep comes next goes on, whoever began.
Each step is a transaction of its own, bounded whatever the person has, under a lock that other sweeps skip. Files go
with their rows (`chat.attachments`). Nothing stays: sums over all people's requests do not have theirs any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, LiteralString

import structlog
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from chat import audit, runs
from chat.errors import ChatError
from chat.models import (
    Attachment,
    CancelledBy,
    ClaimedName,
    IdentityLink,
    Message,
    ModelRequest,
    Note,
    Run,
    Session,
    Thread,
)
from chat.own_threads import lock_counters
from chat.publisher import Publisher
from chat.run_event import now
from chat.sessions import end_all

logger = structlog.get_logger(__name__)

EVENTS_BATCH = 2000
RUNS_BATCH = 20
ROWS_BATCH = 200

_NEXT: LiteralString = """
    SELECT user_id FROM chat_usercounters
    WHERE deleted_at IS NOT NULL AND user_id = COALESCE(%(only)s, user_id)
    ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED
"""
_EVENTS: LiteralString = """
    DELETE FROM chat_runevent WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM chat_runevent WHERE run_id = ANY(%s) LIMIT %s))
"""


@transaction.atomic
def delete_account(user_id: Any, publisher: Publisher) -> bool:
    """Take an account out of reach: runs are ended, sessions too, and its names are free. False when it was done.

    Lock order: user counters, thread, run.
    """
    try:
        counters = lock_counters(user_id)
    except ChatError:
        return False
    runs.cancel_all(user_id, by=CancelledBy.DELETED, publisher=publisher)
    end_all(user_id, publisher)
    counters.deleted_at = now()
    counters.save(update_fields=["deleted_at"])
    ClaimedName.objects.filter(user_id=user_id).delete()
    # Who comes from the identity provider again is a new person.
    IdentityLink.objects.filter(user_id=user_id).delete()
    # No name that anybody could register has a colon.
    get_user_model().objects.filter(pk=user_id).update(
        username=f"deleted:{user_id}",
        password=make_password(None),
        email="",
        first_name="",
        last_name="",
        is_active=False,
        is_staff=False,
        is_superuser=False,
    )
    logger.info("account_deleted", user_id=str(user_id))
    return True


def remove_deleted(only: Any = None) -> int:
    """One step of removing what is left of a deleted account, of any or `only` of this user.

    What an application of somebody else's holds on to is told, and tried again by a later sweep. Returns how much was
    removed; 0: nothing is to do, or another sweep is at it.
    """
    try:
        with transaction.atomic():
            return _remove(only)
    except IntegrityError as error:
        logger.warning("account_not_removed", cause=type(error).__name__)
        return 0


def _remove(only: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_NEXT, {"only": only})
        row = cursor.fetchone()
    if row is None:
        return 0
    [user_id] = row
    for step in STEPS:
        if removed := step(user_id):
            return removed
    # What somebody has committed by then in the name of the user goes with it; who commits later finds no user.
    user = get_user_model().objects.select_for_update().get(pk=user_id)
    user.delete()
    logger.info("account_removed", user_id=str(user_id))
    return 1


def _remove_runs(user_id: Any) -> int:
    """Some runs, once their events are gone."""
    found = list(Run.objects.filter(user_id=user_id).values_list("id", flat=True)[:RUNS_BATCH])
    if not found:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(_EVENTS, [found, EVENTS_BATCH])
        if cursor.rowcount == EVENTS_BATCH:
            return EVENTS_BATCH
    return _delete(Run.objects.filter(id__in=found))


def _some(rows: Callable[[Any], QuerySet[Any]]) -> Callable[[Any], int]:
    """A step that removes some of a user's rows."""

    def step(user_id: Any) -> int:
        found = rows(user_id)
        return _delete(
            found.model._default_manager.filter(pk__in=list(found.values_list("pk", flat=True)[:ROWS_BATCH]))
        )

    return step


def _delete(rows: QuerySet[Any]) -> int:
    number, _ = rows.delete()
    return number


def _told_of(user_id: Any) -> QuerySet[LogEntry]:
    """What the administration has written down of the person: it has the name."""
    kind = ContentType.objects.get_for_model(get_user_model())
    return LogEntry.objects.filter(content_type=kind, object_id=str(user_id))


# In this order: what a row refers to is there as long as the row. Further kinds of a person's rows go before the runs
# when they refer to them.
STEPS: tuple[Callable[[Any], int], ...] = (
    _some(lambda user_id: Attachment.objects.filter(user_id=user_id)),
    _some(lambda user_id: ModelRequest.objects.filter(user_id=user_id)),
    _remove_runs,
    _some(lambda user_id: Message.objects.filter(user_id=user_id)),
    _some(lambda user_id: Thread.objects.filter(user_id=user_id)),
    _some(lambda user_id: Note.objects.filter(user_id=user_id)),
    _some(lambda user_id: Session.objects.filter(user_id=user_id)),
    _some(lambda user_id: OutstandingToken.objects.filter(user_id=user_id)),
    _some(_told_of),
    lambda user_id: audit.forget_addresses(user_id, limit=ROWS_BATCH),
)
