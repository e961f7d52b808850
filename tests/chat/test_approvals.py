"""Runs that wait for a person: every edge into and out of `awaiting_approval`, and who may take it."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.test import Client
from procrastinate.contrib.django.models import ProcrastinateJob

from agents.events import AgentPaused, PendingApproval
from chat import runs
from chat.claiming import HeldRun
from chat.errors import ChatError, ErrorCode
from chat.event_log import EventLog, RunFenced
from chat.models import Approval, Run, RunEvent, RunStatus
from chat.protocol import ApprovalAccepted, ResolveApproval
from chat.run_event import now
from chat.run_state import fold_log
from chat.sweep import sweep_runs
from chat.threads import ThreadService
from chat.tokens import AccessToken
from netra.testing import rebuild
from tests.chat.holding import chunk, claimed, completed, event, events, fresh, jobs, posted

pytestmark = pytest.mark.usefixtures("transactional_db")

ARGUMENTS = {"path": "a.txt"}


def asking(*ids: str, arguments: Any = ARGUMENTS, **state: Any) -> AgentPaused:
    approvals = [PendingApproval(agent="assistant", tool_call_id=i, tool="delete", arguments=arguments) for i in ids]
    return AgentPaused(agent="assistant", approvals=tuple(approvals), state={"where": "here", **state})


async def paused(service: ThreadService, user: Any, *ids: str, expires_in: float = 600, **fields: Any) -> HeldRun:
    log = service.event_log
    held = await claimed(log, (await posted(service, user, **fields)).run_id)
    await log.append(held, [event("agent_started", model="m", attempt=1), chunk("I need to ask. ")])
    await log.pause(held, asking(*(ids or ("c1",))), pending=[chunk("Now.")], expires_in=expires_in)
    return held


def resolve(
    service: ThreadService, user: Any, run_id: Any, call: str = "c1", *, approved: bool = True, reason: str = ""
) -> ApprovalAccepted:
    command = ResolveApproval(
        type="resolve_approval", run_id=run_id, tool_call_id=call, approved=approved, reason=reason
    )
    return service.resolve_approval(user.pk, command)


resolved = database_sync_to_async(resolve)


async def frames_of(log: EventLog, run_id: Any) -> list[dict[str, Any]]:
    return [json.loads(frame.text) for frame in await log.read_after(str(run_id), 0, limit=100)]


@database_sync_to_async
def approval(run_id: Any, call: str = "c1") -> Approval:
    return Approval.objects.get(run_id=run_id, tool_call_id=call)


@database_sync_to_async
def make_overdue(run_id: Any) -> None:
    Approval.objects.filter(run_id=run_id).update(expires_at=now() - datetime.timedelta(seconds=1))


async def test_a_pause_commits_its_events_what_it_waits_for_and_where_it_goes_on(
    service: ThreadService, ann: Any
) -> None:
    held = await paused(service, ann, "c1", "c2")
    run = await fresh(held.id)
    assert (run.status, run.job_id, run.last_seq, run.paused_seq) == ("awaiting_approval", None, 6, 6)
    assert run.paused_state == {"message_id": str(held.message_id), "agent": {"where": "here"}}
    frames = await frames_of(service.event_log, held.id)
    assert [frame["type"] for frame in frames[3:]] == ["agent_response_chunk", "approval_required", "approval_required"]
    assert frames[-1]["data"] == {"tool_call_id": "c2", "tool": "delete", "arguments": ARGUMENTS, "expires_in": 600}
    stored = await approval(held.id)
    assert (stored.agent, stored.tool, stored.arguments, stored.approved) == ("assistant", "delete", ARGUMENTS, None)
    assert round((stored.expires_at - stored.created_at).total_seconds()) == 600


async def test_the_whole_of_large_arguments_is_kept_and_the_event_says_where(service: ThreadService, ann: Any) -> None:
    rebuild()
    log = service.event_log
    large = {"text": "é" * 40_000}
    held = await claimed(log, (await posted(service, ann)).run_id)
    await log.pause(held, asking("c1", arguments=large), pending=[], expires_in=60)
    frame = (await frames_of(log, held.id))[-1]
    assert len(json.dumps(frame)) < 20_000
    href = frame["data"]["truncated"]["href"]
    assert frame["data"]["truncated"]["bytes"] > 80_000
    status, body = await asked(ann, href)
    assert (status, body["approvals"][0]["arguments"]) == (200, large)


async def test_a_pause_whose_answer_was_lost_is_not_made_twice(service: ThreadService, ann: Any) -> None:
    log = service.event_log
    held = await paused(service, ann)
    await log.pause(held, asking("c1"), pending=[chunk("Now.")], expires_in=600)
    assert [type_ for _, type_ in await events(held.id)].count("approval_required") == 1


async def test_a_thread_waits_behind_its_run_and_nobody_holds_it(service: ThreadService, ann: Any) -> None:
    held = await paused(service, ann)
    behind = await posted(service, ann, thread_id=str(held.thread_id))
    assert (await fresh(behind.run_id)).job_id is None
    await database_sync_to_async(sweep_runs)()
    assert (await fresh(behind.run_id)).job_id is None
    assert await service.event_log.claim(behind.run_id) is None
    assert (await fresh(held.id)).status == "awaiting_approval"


async def test_the_last_answer_queues_the_run_and_its_holder_gets_the_decisions(
    service: ThreadService, ann: Any
) -> None:
    held = await paused(service, ann, "c1", "c2")
    accepted = await resolved(service, ann, held.id, "c2", approved=False, reason=" too risky ")
    assert (accepted.run_id, accepted.tool_call_id) == (str(held.id), "c2")
    assert (await fresh(held.id)).status == "awaiting_approval"
    await resolved(service, ann, held.id, "c1")
    run = await fresh(held.id)
    assert run.status == "queued"
    assert (await database_sync_to_async(jobs)())[-1] == ("todo", str(held.id))

    again = await claimed(service.event_log, str(held.id))
    assert again.paused is not None
    assert again.paused.state == {"where": "here"}
    assert {call: (d.approved, d.reason) for call, d in again.paused.decisions.items()} == {
        "c1": (True, ""),
        "c2": (False, "too risky"),
    }
    assert again.paused.replay == []
    assert again.message_id == held.message_id, "the answer goes on under its name"
    assert (again.attempt, again.claim) == (1, 2)
    frames = await frames_of(service.event_log, held.id)
    assert [frame["data"] for frame in frames[-2:]] == [
        {"tool_call_id": "c2", "approved": False, "by": "user", "reason": "too risky"},
        {"tool_call_id": "c1", "approved": True, "by": "user"},
    ]


async def test_of_many_answers_at_once_one_counts_and_one_job_is_made(
    service: ThreadService, ann: Any, at_once: Callable[..., Any]
) -> None:
    held = await paused(service, ann)

    def answer(approved: bool) -> str:
        try:
            resolve(service, ann, held.id, approved=approved)
        except ChatError as error:
            assert error.code is ErrorCode.APPROVAL_NOT_FOUND
            assert error.details is not None
            return f"lost against {error.details['approved']}"
        return f"won with {approved}"

    works = [lambda approved=bool(n % 2): answer(approved) for n in range(8)]
    told = await database_sync_to_async(at_once)(works)
    won = [text for text in told if text.startswith("won")]
    assert len(won) == 1
    decided = won[0] == "won with True"
    assert told.count(f"lost against {decided}") == 7
    assert (await approval(held.id)).approved is decided
    assert [type_ for _, type_ in await events(held.id)].count("approval_resolved") == 1
    made = await database_sync_to_async(jobs)()
    assert [run_id for _, run_id in made] == [str(held.id)] * 2, "one for the question, one for the answer"


@pytest.mark.parametrize("change", ["unknown run", "unknown call", "foreign", "deleted", "ended", "restarted"])
async def test_what_waits_for_nobody_cannot_be_answered(
    service: ThreadService, ann: Any, bob: Any, change: str
) -> None:
    held = await paused(service, ann)
    run_id, call, user = held.id, "c1", ann
    match change:
        case "unknown run":
            run_id = uuid.uuid4()
        case "unknown call":
            call = "c2"
        case "foreign":
            user = bob
        case "deleted":
            await database_sync_to_async(service.delete_thread)(ann.pk, held.thread_id)
        case "ended":
            await database_sync_to_async(service.stop_run)(ann.pk, held.id)
        case "restarted":
            await resolved(service, ann, held.id)
    before = await events(held.id)
    with pytest.raises(ChatError) as raised:
        await resolved(service, user, run_id, call)
    assert raised.value.code is ErrorCode.APPROVAL_NOT_FOUND
    assert await events(held.id) == before
    if change == "foreign":
        assert raised.value.details is None, "nobody learns of what is another's"


async def test_nobody_else_sees_what_a_run_waits_for(service: ThreadService, ann: Any, bob: Any) -> None:
    rebuild()
    held = await paused(service, ann)
    assert (await asked(bob, f"/api/runs/{held.id}/approvals"))[0] == 404
    assert (await asked(ann, f"/api/runs/{held.id}/approvals"))[1]["approvals"][0]["by"] is None


@pytest.mark.parametrize("by", ["stop", "interrupt", "delete"])
async def test_a_run_that_waits_can_be_cancelled_and_says_that_nothing_was_approved(
    service: ThreadService, ann: Any, by: str
) -> None:
    held = await paused(service, ann, "c1", "c2")
    await resolved(service, ann, held.id, "c1")
    match by:
        case "stop":
            await database_sync_to_async(service.stop_run)(ann.pk, held.id)
        case "interrupt":
            await posted(service, ann, thread_id=str(held.thread_id), when_busy="interrupt")
        case "delete":
            await database_sync_to_async(service.delete_thread)(ann.pk, held.thread_id)
    run = await fresh(held.id)
    assert (run.status, run.paused_state) == ("cancelled", None)
    assert run.output_message is not None
    assert run.output_message.content == "I need to ask. Now."
    assert [type_ for _, type_ in await events(held.id)][-3:] == [
        "approval_resolved",
        "approval_resolved",
        "agent_cancelled",
    ]
    first, second = await approval(held.id, "c1"), await approval(held.id, "c2")
    assert [(a.approved, a.by) for a in (first, second)] == [(True, "user"), (False, "cancelled")]


async def test_what_nobody_answers_in_time_fails_and_the_thread_goes_on(service: ThreadService, ann: Any) -> None:
    held = await paused(service, ann, "c1", "c2")
    behind = await posted(service, ann, thread_id=str(held.thread_id))
    await resolved(service, ann, held.id, "c1")
    await database_sync_to_async(sweep_runs)()
    assert (await fresh(held.id)).status == "awaiting_approval", "there is time left"

    await make_overdue(held.id)
    await database_sync_to_async(sweep_runs)()
    run = await fresh(held.id)
    assert (run.status, run.error_code, run.paused_state) == ("failed", "APPROVAL_EXPIRED", None)
    frames = await frames_of(service.event_log, held.id)
    assert frames[-2]["data"] == {"tool_call_id": "c2", "approved": False, "by": "expired"}
    assert frames[-1]["type"] == "agent_error"
    assert frames[-1]["data"]["error_code"] == "APPROVAL_EXPIRED"
    assert frames[-1]["data"]["retryable"] is True
    assert frames[-1]["data"]["message"]["content"] == "I need to ask. Now."
    assert (await database_sync_to_async(jobs)())[-1] == ("todo", behind.run_id)
    await database_sync_to_async(sweep_runs)()
    assert len(await events(held.id)) == len(frames)


async def test_an_answer_that_comes_too_late_does_not_count_even_before_the_sweep(
    service: ThreadService, ann: Any
) -> None:
    held = await paused(service, ann)
    await make_overdue(held.id)
    with pytest.raises(ChatError) as raised:
        await resolved(service, ann, held.id)
    assert raised.value.details == {"approved": False, "by": "expired"}
    assert (await approval(held.id)).approved is None


async def test_of_an_answer_and_the_expiry_at_once_one_counts(
    service: ThreadService, ann: Any, at_once: Callable[..., Any]
) -> None:
    """Each order gives a whole: queued and approved, or failed and expired."""
    for _ in range(5):
        held = await paused(service, ann, expires_in=0.05)

        def answer(held: HeldRun = held) -> str:
            try:
                return resolve(service, ann, held.id).tool_call_id
            except ChatError as error:
                return str(error.code)

        def expire(held: HeldRun = held) -> str:
            while not runs.expire(held.id, publisher=service.event_log.publisher):
                if Run.objects.filter(id=held.id).exclude(status=RunStatus.AWAITING_APPROVAL).exists():
                    return "kept"
            return "expired"

        outcomes = await database_sync_to_async(at_once)([answer, expire])
        stored, run = await approval(held.id), await fresh(held.id)
        assert outcomes in (["c1", "kept"], ["APPROVAL_NOT_FOUND", "expired"])
        assert (stored.by, run.status) == (("user", "queued") if outcomes[0] == "c1" else ("expired", "failed"))


async def test_whoever_lost_the_run_cannot_pause_it(service: ThreadService, ann: Any) -> None:
    log = service.event_log
    held = await claimed(log, (await posted(service, ann)).run_id)
    await database_sync_to_async(service.stop_run)(ann.pk, held.id)
    with pytest.raises(RunFenced):
        await log.pause(held, asking("c1"), pending=[], expires_in=60)
    assert await database_sync_to_async(Approval.objects.count)() == 0


# After an answer, when the worker is lost


async def test_a_run_that_is_begun_again_after_its_answer_tells_again_what_came_before_it(
    service: ThreadService, ann: Any
) -> None:
    log = service.event_log
    held = await claimed(log, (await posted(service, ann)).run_id)
    await log.append(held, [event("agent_started", model="m", attempt=1), chunk("Void. ")])
    assert await recover(log, held) is RunStatus.QUEUED
    held = await claimed(log, str(held.id))
    large = event("tool_completed", tool_call_id="t", tool="list", duration_ms=1, result="beginn")
    await log.append(held, [event("agent_started", model="m", attempt=2), chunk("Kept. "), large])
    await log.pause(held, asking("c1"), pending=[chunk("Too.")], expires_in=60)
    await resolved(service, ann, held.id)

    held = await claimed(log, str(held.id))
    await log.append(held, [event("agent_started", model="m", attempt=2), chunk(" Lost.")])
    for attempt in (3, 3):
        again = recover(log, held) if held.attempt < attempt else log.hand_back(held, reason="handed_back")
        assert await again is RunStatus.QUEUED
        held = await claimed(log, str(held.id))
        assert held.paused is not None
        assert [(e.type, e.data.get("text")) for e in held.paused.replay] == [
            ("agent_response_chunk", "Kept. "),
            ("tool_completed", None),
            ("agent_response_chunk", "Too."),
        ]
        assert held.paused.decisions["c1"].approved
    await log.append(held, [event("agent_started", model="m", attempt=3), *(held.paused.replay if held.paused else ())])
    await log.finish(held, completed(), pending=[chunk(" End.")])
    run = await fresh(held.id)
    assert run.output_message is not None
    assert run.output_message.content == "Kept. Too. End."
    assert run.paused_state is None, "an ended run goes on from nowhere"
    state = fold_log((await frames_of(log, held.id))[:-1])
    assert state is not None
    assert state["text"] == "Kept. Too. End."
    assert state["approvals"]["c1"]["approved"] is True


async def test_what_cannot_be_repeated_may_be_done_before_a_pause_which_the_run_goes_on_from(
    service: ThreadService, ann: Any
) -> None:
    log = service.event_log
    held = await claimed(log, (await posted(service, ann)).run_id)
    await log.begin_unrepeatable(held, "pay")
    await log.pause(held, asking("c1"), pending=[], expires_in=60)
    await resolved(service, ann, held.id)
    held = await claimed(log, str(held.id))
    assert await recover(log, held) is RunStatus.QUEUED, "it does not pay again: it goes on after that"
    held = await claimed(log, str(held.id))
    await log.begin_unrepeatable(held, "pay")
    assert await recover(log, held) is RunStatus.FAILED


@database_sync_to_async
def recover(log: EventLog, held: HeldRun) -> RunStatus | None:
    return runs.recover(held.id, seen_claim=held.claim, max_attempts=9, stalled=12, publisher=log.publisher)


async def test_the_job_of_a_worker_that_died_right_after_pausing_is_buried_and_the_run_still_waits(
    service: ThreadService, ann: Any
) -> None:
    held = await paused(service, ann)
    await database_sync_to_async(lambda: ProcrastinateJob.objects.filter(status="todo").update(status="doing"))()
    await database_sync_to_async(sweep_runs)()
    assert [status for status, _ in await database_sync_to_async(jobs)()] == ["failed"]
    assert (await fresh(held.id)).status == "awaiting_approval"
    await resolved(service, ann, held.id)
    assert await service.event_log.claim(str(held.id)) is not None


# REST


def ask(user: Any, href: str, body: Any = None) -> tuple[int, Any]:
    client = Client(headers={"Authorization": f"Bearer {AccessToken.for_user(user)}"})
    answer = client.get(href) if body is None else client.post(href, json.dumps(body), content_type="application/json")
    return answer.status_code, answer.json()


async def asked(user: Any, href: str, body: Any = None) -> tuple[int, Any]:
    return await database_sync_to_async(ask)(user, href, body)


async def test_rest_answers_and_tells_who_was_first(service: ThreadService, ann: Any, bob: Any) -> None:
    rebuild()
    held = await paused(service, ann, "a/b c")
    href = f"/api/runs/{held.id}/approvals/a%2Fb%20c"
    assert (await asked(bob, href, {"approved": True}))[0] == 404
    told = await asked(ann, href, {"approved": False, "reason": "no"})
    assert told == (200, {"run_id": str(held.id), "tool_call_id": "a/b c", "approved": False})
    status, body = await asked(ann, href, {"approved": True})
    assert (status, body["error_code"], body["details"]) == (
        404,
        "APPROVAL_NOT_FOUND",
        {"approved": False, "by": "user"},
    )
    status, body = await asked(ann, f"/api/runs/{held.id}/approvals")
    assert [(a["approved"], a["by"], a["reason"]) for a in body["approvals"]] == [(False, "user", "no")]


@pytest.mark.parametrize(
    "body", [{}, {"approved": "true"}, {"approved": 1}, {"approved": None}, {"approved": True, "reason": "x" * 2001}]
)
async def test_only_a_clear_answer_is_one(service: ThreadService, ann: Any, body: Any) -> None:
    rebuild()
    held = await paused(service, ann)
    status, told = await asked(ann, f"/api/runs/{held.id}/approvals/c1", body)
    assert (status, told["error_code"]) == (400, "INVALID_MESSAGE")
    assert (await approval(held.id)).approved is None


async def test_what_a_client_sends_along_changes_nothing_of_what_is_approved(service: ThreadService, ann: Any) -> None:
    rebuild()
    held = await paused(service, ann)
    forged = {"approved": True, "arguments": {"path": "/etc/passwd"}, "tool": "wipe", "override_args": {"path": "/"}}
    assert (await asked(ann, f"/api/runs/{held.id}/approvals/c1", forged))[0] == 200
    stored = await approval(held.id)
    assert (stored.tool, stored.arguments) == ("delete", ARGUMENTS)
    again = await claimed(service.event_log, str(held.id))
    assert again.paused is not None
    assert "passwd" not in json.dumps([again.paused.state, repr(again.paused.decisions)])
    assert not await database_sync_to_async(RunEvent.objects.filter(data__icontains="passwd").exists)()
