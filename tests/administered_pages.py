"""The pages of the administration, on the rows of a deployment (`tests.many_people`)."""

from __future__ import annotations

import datetime

from tests.many_people import Deployment


def pages_of(deployment: Deployment) -> dict[str, str]:
    """Name and address of each; deep pages and each filter and search among them."""
    thread, run, person = deployment.thread, deployment.run, deployment.person
    week = f"{datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=7):%Y-%m-%d}"
    return {
        "overview": "",
        "threads": "chat/thread/",
        "threads, deep": "chat/thread/?p=90",
        "threads of a week": f"chat/thread/?since={week}",
        "threads, deleted": "chat/thread/?deleted_at__isempty=0",
        "threads of a person": f"chat/thread/?user__id__exact={person}",
        "threads, search: a person": "chat/thread/?q=person000001",
        "threads, search: few": "chat/thread/?q=needle",
        "threads, search: none": "chat/thread/?q=absent",
        "threads, search: an id": f"chat/thread/?q={run}",
        "a thread": f"chat/thread/{thread}/change/",
        "a thread with events": f"chat/thread/{thread}/change/?run={run}",
        "runs": "chat/run/",
        "runs, deep": "chat/run/?p=200",
        "runs of a week": f"chat/run/?since={week}",
        "runs, failed": "chat/run/?status__exact=failed",
        "runs, queued": "chat/run/?status__exact=queued",
        "runs, awaiting approval": "chat/run/?status__exact=awaiting_approval",
        "runs of an agent": "chat/run/?agent=data",
        "runs of an agent, failed": "chat/run/?agent=optimization&status__exact=failed",
        "runs by error": "chat/run/?error_code=MODEL_ERROR",
        "runs by another error": "chat/run/?error_code=WORKER_LOST",
        "runs of a person": f"chat/run/?user__id__exact={person}",
        "runs, search: a person": "chat/run/?q=person000001",
        "runs, search: an id": f"chat/run/?q={run}",
        "a run": f"chat/run/{run}/change/",
        "a run of 10,000 events": f"chat/run/{deployment.longest_run}/change/?after=5000",
        "the same, without pieces": f"chat/run/{deployment.longest_run}/change/?steps=1",
        "approvals": "chat/approval/",
        "approvals that wait": "chat/approval/?waiting=1",
        "feedback": "chat/messagefeedback/",
        "feedback, down": "chat/messagefeedback/?rating__exact=down",
        "feedback of a person": "chat/messagefeedback/?q=person000001",
        "agents": "agents/",
        "model requests": "chat/modelrequest/",
        "model requests, failed": "chat/modelrequest/?outcome__exact=failed",
        "model requests, cancelled": "chat/modelrequest/?outcome__exact=cancelled",
        "model requests of a person": "chat/modelrequest/?q=person000001",
        "users": "auth/user/",
        "users, deep": "auth/user/?p=9",
        "users, search": "auth/user/?q=person0000",
        "a user": f"auth/user/{person}/change/",
        "erasing a user": f"auth/user/{person}/delete/",
        "audit log": "chat/auditentry/",
        "audit log, deep": "chat/auditentry/?p=200",
        "audit log, refused": "chat/auditentry/?refused=1",
        "audit log, looks": "chat/auditentry/?action__exact=look",
        "audit log, of nobody": "chat/auditentry/?action__exact=administration",
        "audit log of a person": "chat/auditentry/?actor=person000001",
        "audit log about a person": "chat/auditentry/?subject=person000001",
        "audit log, search": "chat/auditentry/?q=person000001",
        "audit log of a week": f"chat/auditentry/?since={week}",
    }
