from __future__ import annotations

from django.urls import path, re_path

from chat.api import (
    agents,
    approvals,
    events,
    execute,
    exports,
    feedback,
    mcp,
    messages,
    runs,
    sessions,
    supervisor,
    threads,
    usage,
)
from chat.api.errors import NothingHere

urlpatterns = [
    path("auth/token", sessions.SignIn.as_view()),
    path("auth/token/refresh", sessions.Refresh.as_view()),
    path("auth/logout", sessions.SignOut.as_view()),
    path("me", sessions.Me.as_view()),
    path("events", events.PersonEvents.as_view()),
    path("agents/execute", execute.Execute.as_view()),
    path("agents", agents.Agents.as_view()),
    path("agents/<str:name>", agents.Agent.as_view()),
    path("tools", agents.Tools.as_view()),
    path("supervisor", supervisor.Supervisor.as_view()),
    path("usage", usage.Usage.as_view()),
    path("approvals", approvals.Approvals.as_view()),
    path("mcp-servers", mcp.McpServerList.as_view()),
    path("threads", threads.Threads.as_view()),
    path("threads/<uuid:thread_id>", threads.ThreadDetail.as_view()),
    path("threads/<uuid:thread_id>/messages", messages.ThreadMessages.as_view()),
    path("threads/<uuid:thread_id>/export.md", exports.MarkdownExport.as_view()),
    path("threads/<uuid:thread_id>/export.json", exports.JsonExport.as_view()),
    path("messages/<uuid:message_id>/feedback", feedback.Feedback.as_view()),
    path("messages/<uuid:message_id>", messages.MessageDetail.as_view()),
    path("messages/<uuid:message_id>/regenerate", messages.MessageRegeneration.as_view()),
    path("runs", runs.Runs.as_view()),
    path("runs/<uuid:run_id>", runs.RunDetail.as_view()),
    path("runs/<uuid:run_id>/cancel", runs.RunCancellation.as_view()),
    path("runs/<uuid:run_id>/retry", runs.RunRetry.as_view()),
    path("runs/<uuid:run_id>/events", runs.RunEvents.as_view()),
    path("runs/<uuid:run_id>/approvals", runs.RunApprovals.as_view()),
    path("runs/<uuid:run_id>/approvals/<path:tool_call_id>", runs.RunApproval.as_view()),
    path("runs/<uuid:run_id>/events/<int:seq>/result", runs.ToolResult.as_view()),
    re_path("", NothingHere.as_view()),
]
