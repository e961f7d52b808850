"""Where one can go in the administration: what the person may view, and nothing else."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

# title, address, symbol, and what it takes
_PLACES: tuple[tuple[str, tuple[tuple[str, str, str, str], ...]], ...] = (
    ("", (("Overview", "index", "monitoring", ""),)),
    (
        "Conversations",
        (
            ("Threads", "chat_thread_changelist", "forum", "chat.view_thread"),
            ("Runs", "chat_run_changelist", "play_circle", "chat.view_run"),
            ("Approvals", "chat_approval_changelist", "front_hand", "chat.view_approval"),
            ("Feedback", "chat_messagefeedback_changelist", "thumbs_up_down", "chat.view_messagefeedback"),
        ),
    ),
    (
        "Agents",
        (
            ("Agents and tools", "agents", "smart_toy", "chat.view_mcpserver"),
            ("Model requests", "chat_modelrequest_changelist", "payments", "chat.view_modelrequest"),
        ),
    ),
    (
        "People",
        (
            ("Users", "auth_user_changelist", "person", "auth.view_user"),
            ("Groups", "auth_group_changelist", "group", "auth.view_group"),
            ("Audit log", "chat_auditentry_changelist", "shield_person", "chat.view_auditentry"),
        ),
    ),
)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """unfold's form of it; what applications of others have registered comes last."""
    may = request.user.has_perm
    groups = [
        {
            "title": title,
            "items": [
                {"title": name, "icon": symbol, "link": reverse(f"admin:{address}")}
                for name, address, symbol, permission in places
                if not permission or may(permission)
            ],
        }
        for title, places in _PLACES
    ]
    return [group for group in [*groups, *_of_others(request)] if group["items"]]


def _of_others(request: HttpRequest) -> list[dict[str, Any]]:
    from django.contrib import admin

    return [
        {
            "title": str(app["name"]),
            "items": [
                {"title": str(model["name"]), "icon": "database", "link": model["admin_url"]}
                for model in app["models"]
                if model["admin_url"]
            ],
        }
        for app in admin.site.get_app_list(request)
        if app["app_label"] not in ("auth", "chat")
    ]


def environment(request: HttpRequest) -> list[str]:
    """A badge that tells deployments apart, and its colour."""
    name = settings.NETRA.environment
    return [name, {"production": "danger", "staging": "warning"}.get(name, "info")]
