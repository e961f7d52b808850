"""A person who may not sign in any more: open runs are cancelled and all sessions end, whoever deactivates them.

What saves a user through Django (`/admin/`, a script) is heard of here at its commit. Changes by other ways, plain SQL
among them, are found: sockets by the position check, runs by the sweep; tokens are refused by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, LiteralString, cast

import structlog
from django.apps import apps
from django.db import connection, transaction

from chat import runs, sessions
from chat.errors import ChatError
from chat.models import CancelledBy
from chat.own_threads import lock_counters
from chat.publisher import Publisher

if TYPE_CHECKING:
    from chat.apps import ChatConfig

logger = structlog.get_logger(__name__)

# What of a user decides whether their tokens count.
DECISIVE = {"is_active", "password"}
BATCH = 100

_WITH_OPEN_RUNS: LiteralString = """
    SELECT DISTINCT r.user_id FROM chat_run r JOIN auth_user u ON u.id = r.user_id AND NOT u.is_active
    WHERE r.status IN ('queued', 'running', 'awaiting_approval') LIMIT %s
"""


@transaction.atomic
def shut_out(user_id: Any, publisher: Publisher) -> None:
    """Cancel what runs, and end all sessions. Tokens of before do not count after an activation either."""
    try:
        lock_counters(user_id)
    except ChatError:  # a deleted account, of which all of this was done
        return
    runs.cancel_all(user_id, by=CancelledBy.DEACTIVATED, publisher=publisher)
    sessions.end_all(user_id, publisher)
    logger.info("user_shut_out", user_id=str(user_id))


def shut_out_inactive(publisher: Publisher) -> int:
    """Those who have runs still, some of them. Returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(_WITH_OPEN_RUNS, [BATCH])
        found = [row[0] for row in cursor.fetchall()]
    for user_id in found:
        shut_out(user_id, publisher)
    return len(found)


def user_saved(
    sender: Any,  # noqa: ARG001 - a receiver's signature, as below
    instance: Any,
    created: bool = False,
    update_fields: Iterable[str] | None = None,
    **_: Any,
) -> None:
    """A receiver of `post_save`. Nothing is locked yet: counters come before users in the order of locks elsewhere."""
    if created or (update_fields is not None and DECISIVE.isdisjoint(update_fields)):
        return
    if instance.is_active:
        sessions.tell(instance.pk, _publisher())
    else:
        # When this fails, the sweep and the position check remain.
        transaction.on_commit(lambda: shut_out(instance.pk, _publisher()), robust=True)


def user_deleted(sender: Any, instance: Any, **_: Any) -> None:  # noqa: ARG001
    """A receiver of `pre_delete`: afterwards there is no number of the user's."""
    sessions.tell(instance.pk, _publisher())


def _publisher() -> Publisher:
    return cast("ChatConfig", apps.get_app_config("chat")).event_log.publisher
