"""The tables of the chat."""

from chat.models.agents import McpServer, ModelRequest, Note
from chat.models.audit import AuditAction, AuditEntry
from chat.models.conversations import Attachment, Message, MessageFeedback, Role, Thread, TitleOrigin
from chat.models.people import Allowance, ClaimedName, IdentityLink, Preferences, ResetRequest, UserCounters
from chat.models.processes import ProcessKind, ServerProcess
from chat.models.runs import OPEN_STATUSES, Approval, ApprovedBy, CancelledBy, Run, RunEvent, RunStatus
from chat.models.sessions import EndedBy, Session, SessionKind

__all__ = [
    "OPEN_STATUSES",
    "Allowance",
    "Approval",
    "ApprovedBy",
    "Attachment",
    "AuditAction",
    "AuditEntry",
    "CancelledBy",
    "ClaimedName",
    "EndedBy",
    "IdentityLink",
    "McpServer",
    "Message",
    "MessageFeedback",
    "ModelRequest",
    "Note",
    "Preferences",
    "ProcessKind",
    "ResetRequest",
    "Role",
    "Run",
    "RunEvent",
    "RunStatus",
    "ServerProcess",
    "Session",
    "SessionKind",
    "Thread",
    "TitleOrigin",
    "UserCounters",
]
