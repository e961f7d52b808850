"""What each error code and close code of the socket means: docs/protocol.md, section 4."""

from __future__ import annotations

from dataclasses import dataclass

from chat.errors import CloseCode, ErrorCode

# Of `error_message`: other codes are REST's.
ERRORS: dict[ErrorCode, str] = {
    ErrorCode.NO_TOKEN: "The handshake brought no access token.",
    ErrorCode.INVALID_TOKEN: "The access token is not one of this server's, or not of this connection's user, or its "
    "session has ended.",
    ErrorCode.TOKEN_EXPIRED: "The access token has expired.",
    ErrorCode.USER_INACTIVE: "The user may not sign in any more.",
    ErrorCode.ORIGIN_NOT_ALLOWED: "Pages of this origin may not connect.",
    ErrorCode.TOO_MANY_CONNECTIONS: "The user has as many connections as one may have.",
    ErrorCode.SERVICE_UNAVAILABLE: "`details.missing` is not there at the moment.",
    ErrorCode.INVALID_JSON: "The frame is no JSON.",
    ErrorCode.INVALID_MESSAGE: "A field is missing or wrong: `details.problems`.",
    ErrorCode.UNKNOWN_TYPE: "There is no command of this type.",
    ErrorCode.MESSAGE_TOO_LARGE: "The frame has more than `details.max_message_bytes` bytes.",
    ErrorCode.BINARY_NOT_SUPPORTED: "The frame is binary; frames are text.",
    ErrorCode.THREAD_NOT_FOUND: "The person has no such thread.",
    ErrorCode.MESSAGE_NOT_FOUND: "The person has no such message, or not in this thread.",
    ErrorCode.RUN_NOT_FOUND: "The person has no such run.",
    ErrorCode.RUN_ACTIVE: "The thread, or the question, has a run that has not ended: `details.run_ids`.",
    ErrorCode.AGENT_NOT_FOUND: "There is no such agent.",
    ErrorCode.APPROVAL_NOT_FOUND: "Nothing waits for this answer, or it was given already: `details`.",
    ErrorCode.MESSAGE_ID_CONFLICT: "The `message_id` is that of another message.",
    ErrorCode.RATE_LIMITED: "Too many commands; go on after `retry_after` seconds.",
    ErrorCode.TOO_MANY_RUNS: "The person has as many open runs as one may have.",
    ErrorCode.ALLOWANCE_USED: "What the person may use in a day is used up: `details`; it begins anew after "
    "`retry_after` seconds.",
    ErrorCode.TOO_MANY_ATTACHMENTS: "A message has at most `details.max_attachments` files.",
    ErrorCode.ATTACHMENT_NOT_FOUND: "The person has no such file.",
    ErrorCode.ATTACHMENT_SENT: "The file belongs to a message already.",
    ErrorCode.IMAGES_NOT_SUPPORTED: "The agent's model cannot read the image of the question: `details.agents` may.",
    ErrorCode.WINDOW_FULL: "Frames were not acknowledged for too long.",
    ErrorCode.INTERNAL_ERROR: "A fault of the server: `details.correlation_id` is in its log.",
}

# Of `agent_error`. An agent of somebody else's can have codes of its own.
RUN_ERRORS: dict[ErrorCode, str] = {
    ErrorCode.MODEL_ERROR: "The model could not be asked, or did not answer.",
    ErrorCode.ALLOWANCE_USED: "The tokens or the costs that the person may have in a day are used up.",
    ErrorCode.RUN_TIMEOUT: "The run took longer than a run may.",
    ErrorCode.WORKER_LOST: "What ran it was lost, and it is not repeated.",
    ErrorCode.APPROVAL_EXPIRED: "Nobody answered the request for approval in time.",
    ErrorCode.AGENT_NOT_FOUND: "The agent is not there any more.",
    ErrorCode.INTERNAL_ERROR: "A fault of the agent or of the server: `correlation_id` is in its log.",
}


@dataclass(frozen=True, slots=True)
class Close:
    code: int
    when: str
    client: str


CLOSES = (
    Close(1000, "The connection was closed in order.", "Nothing."),
    Close(1001, "The other side goes away.", "Reconnect and resume."),
    Close(1006, "There was no close frame: the network, or a killed server.", "Reconnect with backoff, resume."),
    Close(1009, "A frame was larger than the server software takes.", "Do not send it again."),
    Close(1012, "uvicorn ends that was not started by `manage.py serve`.", "Reconnect with backoff, resume."),
    Close(
        CloseCode.UNAUTHENTICATED,
        "No credential, or an invalid or expired one, or the session has ended.",
        "Get a new token, then reconnect.",
    ),
    Close(CloseCode.FORBIDDEN, "The origin is not allowed, or the user inactive.", "Stop."),
    Close(CloseCode.WINDOW_FULL, "Nothing was acknowledged for too long.", "Reconnect and resume."),
    Close(CloseCode.DRAINING, "The server goes away, after `server_draining`.", "Reconnect after a while, resume."),
    Close(CloseCode.TOO_MANY, "Too many connections, or a flood after warnings.", "Back off."),
    Close(CloseCode.SERVICE_UNAVAILABLE, "A service is missing.", "Reconnect with backoff."),
)
