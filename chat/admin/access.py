"""Who may see what in the administration: staff see that something was said, and what only when they are granted it.

Each look at what people or agents wrote is in the audit log.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from chat import audit
from chat.addresses import client_address
from chat.models import AuditAction, AuditEntry
from chat.run_event import now

VIEW_CONTENT = "chat.view_content"


def may_read(request: HttpRequest) -> bool:
    """Whether the person may see titles, messages, what tools were given and gave, and feedback."""
    return bool(request.user.has_perm(VIEW_CONTENT))


def require(request: HttpRequest, *permissions: str) -> None:
    """Raises PermissionDenied when one is missing."""
    if not request.user.has_perms(permissions):
        raise PermissionDenied


def looked(request: HttpRequest, *, subject: Any, target: str, **details: Any) -> None:
    """The person was shown something that somebody wrote."""
    audit.record(
        AuditAction.LOOK,
        actor=request.user.pk,
        subject=subject,
        address=client_address(request),
        target=target,
        **details,
    )


def looked_at_people(request: HttpRequest, subjects: Collection[Any], *, target: str) -> None:
    """The same of a list, in which several people's words stand: an entry for each of them, in one statement."""
    if not subjects:
        return
    at, address = now(), audit.told(client_address(request))
    AuditEntry.objects.bulk_create(
        AuditEntry(
            at=at, action=AuditAction.LOOK, actor=request.user.pk, subject=subject, address=address, target=target
        )
        for subject in sorted(set(subjects))
    )


def deed(
    request: HttpRequest,
    what: str,
    *,
    subject: Any,
    target: str,
    action: AuditAction = AuditAction.ADMINISTRATION,
    **details: Any,
) -> None:
    """The person did something here that is no change of a row by a form."""
    audit.record(
        action,
        actor=request.user.pk,
        subject=subject,
        address=client_address(request),
        target=target,
        what=what,
        **details,
    )
