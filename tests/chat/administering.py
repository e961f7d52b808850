"""Browsers of those who administer, and a thread in which something secret stands in each place where people write."""

from __future__ import annotations

import datetime
import io
import re
import uuid
from dataclasses import dataclass
from typing import Any, cast

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.test import Client

from chat import rotation
from chat.apps import ChatConfig
from chat.models import (
    Approval,
    Attachment,
    AuditEntry,
    Message,
    MessageFeedback,
    ModelRequest,
    Run,
    RunEvent,
    SessionKind,
    Thread,
)
from chat.run_event import now
from chat.threads import ThreadService
from tests.chat.holding import post

THREADS, RUNS, USERS, AUDIT = (
    f"/admin/{name}/" for name in ("chat/thread", "chat/run", "auth/user", "chat/auditentry")
)
ADDRESS = "192.0.2.7"


def browser(user: Any) -> Client:
    """Somebody who has signed in to the administration."""
    client = Client(REMOTE_ADDR=ADDRESS)
    client.force_login(user)
    return client


def superuser(name: str = "root") -> Any:
    return get_user_model().objects.create_superuser(name)


def staff(name: str, *permissions: str) -> Any:
    """Staff who may do this, and nothing else."""
    user = get_user_model().objects.create_user(name, is_staff=True)
    granted = [
        Permission.objects.get(codename=each.partition(".")[2], content_type__app_label=each.partition(".")[0])
        for each in permissions
    ]
    user.user_permissions.add(*granted)
    return get_user_model().objects.get(pk=user.pk)


def supporter(name: str = "clerk", *permissions: str) -> Any:
    """Staff in the group that sees no content; with further permissions."""
    user = staff(name, *permissions)
    call_command("support_group", "--add", name, stdout=io.StringIO())
    return user


def signed_in(user: Any) -> str:
    """The access token of a new session of theirs."""
    return rotation.begin(user, SessionKind.PROGRAM, rotation.Origin("a program", "192.0.2.9")).access


def thread_service() -> ThreadService:
    service = cast("ChatConfig", apps.get_app_config("chat")).thread_service
    assert service is not None
    service.max_open_runs = 1000
    return service


def page(client: Client, path: str, query: dict[str, str] | None = None) -> str:
    answer = client.get(path, query)
    assert answer.status_code == 200, (path, answer)
    return answer.content.decode()


def found(client: Client, path: str, **query: str) -> list[str]:
    """The ids of a list's rows."""
    rows = re.findall(rf'<a href="{path}([0-9a-f-]+)/change/', page(client, path, query).partition("result_list")[2])
    return list(dict.fromkeys(rows))


def cell(text: str, column: str) -> list[str]:
    """What stands in a column of a list, without tags."""
    cells = re.findall(rf'<t[dh] class="field-{column} [^>]*>(.*?)</t[dh]>', text, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]*>", "", each).split()) for each in cells]


def told(**wanted: Any) -> list[tuple[Any, ...]]:
    """The audit log: action, refused, actor, subject, target, in the order of its making."""
    entries = AuditEntry.objects.filter(**wanted).order_by("id")
    return list(entries.values_list("action", "actor", "subject", "target"))


def ended(run_id: str, status: str, **fields: Any) -> None:
    began = now()
    changed = Run.objects.filter(id=run_id)
    changed.update(status=status, started_at=began, finished_at=began + datetime.timedelta(seconds=1.25), **fields)


def add_event(run_id: Any, seq: int, kind: str, agent: str = "assistant", **data: Any) -> None:
    RunEvent.objects.create(run_id=run_id, seq=seq, type=kind, agent=agent, data=data, created_at=now())
    Run.objects.filter(id=run_id, last_seq__lt=seq).update(last_seq=seq)


@dataclass(frozen=True, slots=True)
class Secrets:
    """`words` has what somebody wrote, by the place where it stands."""

    thread_id: str
    run_id: str
    request_id: uuid.UUID
    approval_id: int
    answer_key: int
    words: dict[str, str]

    @property
    def pages(self) -> list[str]:
        """Every page of the administration that has to do with it."""
        return [
            "/admin/",
            THREADS,
            f"{THREADS}{self.thread_id}/change/",
            f"{THREADS}{self.thread_id}/change/?run={self.run_id}",
            RUNS,
            f"{RUNS}{self.run_id}/change/",
            "/admin/chat/approval/",
            f"/admin/chat/approval/{self.approval_id}/change/",
            "/admin/chat/messagefeedback/",
            f"/admin/chat/messagefeedback/{self.answer_key}/change/",
            "/admin/chat/modelrequest/",
            f"/admin/chat/modelrequest/{self.request_id}/change/",
        ]


def secrets_of(user: Any) -> Secrets:
    """A thread of this person, in which each place has words of its own."""
    places = (
        *("title", "question", "answer", "given", "gave", "failure", "piece", "thought", "allowed", "because"),
        *("feedback", "provider", "filename", "why"),
    )
    words = {place: f"zq{place}{uuid.uuid4().hex[:8]}" for place in places}
    accepted = post(thread_service(), user, words["question"])
    Thread.objects.filter(id=accepted.thread_id).update(title=words["title"])
    run, at = Run.objects.get(id=accepted.run_id), now()
    answer = Message.objects.create(
        user=user,
        thread_id=accepted.thread_id,
        parent=run.input_message,
        role="assistant",
        content=words["answer"],
        run_number=run.run_number,
        created_at=at,
    )
    written: list[tuple[str, dict[str, Any]]] = [
        ("agent_thinking", {"step": 1, "text": words["thought"]}),
        ("approval_required", {"tool_call_id": "c", "tool": "t", "arguments": {"a": words["allowed"]}}),
        ("approval_resolved", {"tool_call_id": "c", "approved": True, "by": "user", "reason": words["because"]}),
        ("tool_executing", {"tool_call_id": "c", "tool": "t", "arguments": {words["given"]: 1}}),
        ("tool_completed", {"tool_call_id": "c", "tool": "t", "result": words["gave"], "duration_ms": 4}),
        ("tool_executing", {"tool_call_id": "d", "tool": "u", "arguments": {}}),
        ("tool_completed", {"tool_call_id": "d", "tool": "u", "error": words["failure"], "duration_ms": 4}),
        ("agent_response_chunk", {"message_id": "m", "text": words["piece"]}),
        ("agent_error", {"error_code": "MODEL_ERROR", "error_message": words["why"], "retryable": True}),
    ]
    for seq, (kind, data) in enumerate(written, 2):
        add_event(run.id, seq, kind, **data)
    ended(accepted.run_id, "failed", error_code="MODEL_ERROR", error_message=words["why"], output_message=answer)
    approval = Approval.objects.create(
        run=run,
        tool_call_id="c",
        agent="assistant",
        tool="t",
        arguments={"a": words["allowed"]},
        created_at=at,
        expires_at=at,
        approved=True,
        by="user",
        reason=words["because"],
        resolved_at=at,
    )
    MessageFeedback.objects.create(message=answer, rating="down", text=words["feedback"], updated_at=at)
    Attachment.objects.create(
        user=user,
        message=run.input_message,
        name=words["filename"],
        media_type="text/plain",
        bytes=1234,
        digest="0" * 64,
        storage_name=uuid.uuid4().hex,
        created_at=at,
    )
    asked = ModelRequest.objects.create(
        user=user,
        thread_id=accepted.thread_id,
        run=run,
        agent="assistant",
        model="offline",
        outcome="failed",
        error=words["provider"],
        input_tokens=3,
        cost_usd="0.25",
        duration_ms=1,
        started_at=at,
    )
    return Secrets(accepted.thread_id, accepted.run_id, asked.pk, approval.pk, answer.pk, words)
