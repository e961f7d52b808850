"""The audit log: who signed in, was refused, approved, changed or looked at something, and from where.

An entry has numbers of people, codes and addresses; never content, a name, or anything that was typed. When an account
is removed, the addresses of its entries go, too.
"""

from __future__ import annotations

import datetime
from typing import Any, LiteralString

from django.db import connection
from django.db.models import Q
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from chat import metrics
from chat.models import AuditAction, AuditEntry
from chat.network import UNKNOWN, network_of
from chat.run_event import now

# Whoever is refused writes a row: these bound how many in each process. What is above is in the log of the process.
_PER_NETWORK = RateLimitItemPerMinute(30, namespace="audit")
_PER_PROCESS = RateLimitItemPerMinute(600, namespace="audit")
_refusals = FixedWindowRateLimiter(MemoryStorage())

OLD_ENTRIES: LiteralString = """
    DELETE FROM chat_auditentry WHERE id = ANY(ARRAY(
        SELECT id FROM chat_auditentry WHERE at < %(before)s
        ORDER BY at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
"""


def record(
    action: AuditAction,
    *,
    actor: Any = None,
    subject: Any = None,
    address: str = "",
    target: str = "",
    **details: Any,
) -> None:
    """Write down what somebody did, in the caller's transaction when there is one. `details` go to JSON."""
    metrics.audited(action)
    _write(action, refused="", actor=actor, subject=subject, address=address, target=target, details=details)


def record_refusal(
    action: AuditAction, code: str, *, actor: Any = None, subject: Any = None, address: str = "", **details: Any
) -> None:
    """Write down what somebody was refused, and why; of a flood only a part."""
    metrics.audited(action, code)
    network = network_of(address)
    if not (_refusals.hit(_PER_NETWORK, action, network) and _refusals.hit(_PER_PROCESS)):
        return
    _write(action, refused=code, actor=actor, subject=subject, address=address, target="", details=details)


def _write(action: AuditAction, *, address: str, **fields: Any) -> None:
    AuditEntry.objects.create(at=now(), action=action, address=told(address), **fields)


def told(address: str) -> str:
    """The address itself, when it is one: a client may claim anything."""
    return address[:45] if network_of(address) != UNKNOWN else ""


def of_person(user_id: Any) -> Any:
    """The entries that a person made or is meant by."""
    return AuditEntry.objects.filter(Q(actor=user_id) | Q(subject=user_id))


def forget_addresses(user_id: Any, *, limit: int) -> int:
    """Blank the addresses of a person who is gone. Returns how many; 0: none is left."""
    found = of_person(user_id).exclude(address="").values_list("pk", flat=True)[:limit]
    return AuditEntry.objects.filter(pk__in=list(found)).update(address="")


def forget_old(*, before: datetime.datetime, limit: int) -> int:
    """Remove the oldest entries. Returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(OLD_ENTRIES, {"before": before, "limit": limit})
        return int(cursor.rowcount)
