"""Handshakes that do not happen, and sockets that are silent, late or closed."""

from __future__ import annotations

import dataclasses

from netra.probe.diagnosis import answers, credentials
from netra.probe.observation import Case, Diagnosis, Stage

NGINX = 'nginx `proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";`'
UPGRADE = (
    f"the proxy's rule for /ws: {NGINX}, Apache `ProxyPass /ws ws://WEB:8000/ws` or `upgrade=websocket`, HAProxy "
    "without `http-request del-header Upgrade`; deploy/haproxy.cfg has what is needed"
)


def not_upgraded(case: Case) -> Diagnosis:  # noqa: PLR0911 - one for each cause
    facts = case.facts
    if case.stage in (Stage.HEADER, Stage.SUBPROTOCOL, Stage.ESTABLISHED, Stage.RESUME):
        return _refused_in_handshake(case)
    if facts.get("status") is None:
        return Diagnosis(
            cause="upgrade_broken",
            chain=(
                f"The handshake on /ws got no answer that is one: {facts['error']}",
                "/health is answered at the same address, so it is the upgrade that something between cannot carry",
            ),
            look_at=(UPGRADE, "the proxy's log for the request to /ws"),
        )
    seen = f"The handshake on /ws was answered with {answers.words(facts)} instead of 101"
    plain = facts.get("plain") or {}
    status, reason = facts["status"], str(facts.get("reason") or "")
    if status == 400 and ("upgrade" in reason.lower() or "connection" in reason.lower()):
        return _dropped(seen, f"The server behind says what it misses: {reason}")
    if facts.get("netra") and plain.get("netra") and plain.get("status") == status:
        return _dropped(
            seen,
            f"Netra itself gave this answer, and gives the same ({status}) to a plain GET: to it the request was one",
        )
    if status == 426:
        return _dropped(seen, "Who answers asks for the very upgrade that was sent, so it did not see it")
    if status in answers.GATEWAY and not facts.get("netra"):
        return answers.gateway(case, seen)
    if status in (401, 403, 407):
        return Diagnosis(
            cause="forbidden_by_proxy",
            chain=(
                seen,
                answers.by_whom(facts),
                f"A plain GET of /ws is answered with {plain.get('status')}, not by Netra either: a proxy forbids it",
            ),
            look_at=(
                (
                    "the proxy's rules for /ws: nginx `allow`, `deny`, `auth_basic`; HAProxy `http-request deny`; "
                    "Apache `Require`; a firewall for web applications"
                ),
            ),
        )
    return Diagnosis(
        cause="ws_not_routed",
        chain=(
            seen,
            answers.by_whom(facts),
            "/health is Netra's at the same address, /ws is not: the proxy has no rule that leads it there",
        ),
        look_at=("the proxy's rule for /ws, beside those for /api and /health", UPGRADE),
    )


def _dropped(seen: str, evidence: str) -> Diagnosis:
    return Diagnosis(
        cause="upgrade_dropped",
        chain=(
            seen,
            evidence,
            (
                "The headers Upgrade and Connection did not reach it: they are between two neighbours (RFC 9110, "
                "7.6.1), and a proxy passes them on only when it is told to"
            ),
        ),
        look_at=(UPGRADE, "a content delivery network or gateway before it: WebSockets are often to be switched on"),
    )


def _refused_in_handshake(case: Case) -> Diagnosis:
    """With a token, while without one it was as it should be: NETRA_WS_REJECT=handshake, or a proxy that minds."""
    facts = case.facts
    rest = facts.get("rest") or {}
    seen = f"The handshake with a token was answered with {facts.get('status') or facts.get('error')}"
    if case.fact(Stage.UPGRADE, "status") == 403 and rest.get("code") is not None:
        asked = f"so REST said, since sockets are refused without a reason ({facts.get('status')}) here: "
        told = {**facts, "error_code": rest["code"], "error_message": f"{asked}NETRA_WS_REJECT=handshake"}
        observation = dataclasses.replace(case.observation, facts=told)
        return credentials.refused(dataclasses.replace(case, seen={**case.seen, case.stage: observation}))
    return Diagnosis(
        cause="handshake_refused",
        chain=(
            seen,
            f"REST takes the same token ({rest.get('status')}); the other form of it gave {facts.get('other_form')}",
            "Something between refuses this handshake: its headers are too long, or it has a rule for them",
        ),
        look_at=(
            (
                "the proxy's log for /ws, and its limits for headers: nginx `large_client_header_buffers`, HAProxy "
                "`tune.bufsize`"
            ),
            "NETRA_WS_REJECT=frame, with which Netra itself says why",
        ),
    )


def silent(case: Case) -> Diagnosis:
    waited = case.facts.get("waited_seconds")
    match case.stage:
        case Stage.REFUSAL:
            return _silent_server(
                case, f"A connection without a token was accepted, and nothing came within {waited:g} s, no refusal"
            )
        case Stage.HEADER | Stage.SUBPROTOCOL | Stage.ESTABLISHED:
            return _silent_server(case, f"connection_established did not come within {waited:g} s, nor an error")
        case Stage.PING:
            what = "A ping"
        case _:
            what = "A message"
    return Diagnosis(
        cause="no_reply",
        chain=(
            f"{what} was not answered within {waited} s, by a code neither, and the socket stayed open",
            "connection_established had come, so the consumer was alive: it is stuck, or what is sent does not arrive",
        ),
        look_at=(
            "the server's log from this moment on: `handler_failed`, `database_lost`",
            "the load of the web process: one that is blocked answers nobody",
            "a proxy that buffers: nginx `proxy_buffering`, `proxy_request_buffering`",
        ),
    )


def _silent_server(case: Case, seen: str) -> Diagnosis:
    with_token = case.stage is not Stage.REFUSAL
    before = case.fact(Stage.REFUSAL, "error_code")
    refuses = (
        (f"Without a token it answered {before} as it should, so it reads handshakes and knows the protocol",)
        if with_token and before
        else ()
    )
    return Diagnosis(
        cause="silent_after_accept",
        chain=(
            seen,
            f"The handshake was accepted, in {case.facts.get('handshake_ms')} ms: the way there carries WebSockets",
            "By a server that says it is Netra: /health did",
            *refuses,
            (
                "Netra accepts only when it has the greeting ready, and answers within NETRA_WS_CONNECT_TIMEOUT (1.5 "
                "s) in any case, with SERVICE_UNAVAILABLE if need be: whoever accepted this socket is not its "
                "consumer, is an earlier system's, or a proxy keeps back what it sends"
            ),
        ),
        look_at=(
            "where /ws leads: the proxy's rule for it, and which process and version is there (`ps`, image tag)",
            "the web process itself, without the proxy: `manage.py probe http://WEB:8000 …`",
            "its log: `connected` or `refused` must be there for every socket; without them it never got this one",
        ),
    )


def late(case: Case) -> Diagnosis:
    return Diagnosis(
        cause="late",
        chain=(
            f"connection_established came after {case.facts['frame_ms']:g} ms, more than the 2 s that are promised",
            (
                f"Netra answers within NETRA_WS_CONNECT_TIMEOUT (1.5 s by default) of the handshake, which took "
                f"{case.facts.get('handshake_ms')} ms"
            ),
            "The setting is higher there, the way is slow, or the process is so busy that its clock comes late",
        ),
        look_at=(
            "`seconds` of the line `connected` in the server's log: what of it was Netra's own time",
            "NETRA_WS_CONNECT_TIMEOUT, the load of the web processes, and the answers of PostgreSQL",
        ),
    )


def closed(case: Case) -> Diagnosis:
    code = case.facts.get("close_code")
    reason = f" ({case.facts['close_reason']})" if case.facts.get("close_reason") else ""
    what = {
        Stage.MESSAGE: "The socket was closed after the first message",
        Stage.PING: "The socket was closed after a ping",
        Stage.EVENTS: "The socket was closed while a run was under way",
    }.get(case.stage, "The socket was accepted and closed without a frame")
    seen = f"{what}, with {code}{reason}"
    if code == 1011:
        return Diagnosis(
            cause="closed_1011",
            chain=(
                seen,
                "1011 says that the server met an unexpected condition: a handler has raised, and its server closed",
                (
                    "Netra never sends it: its handlers answer what they raise with INTERNAL_ERROR and a correlation "
                    "id. What is there is not this Netra, whatever /health says, or code around it raises outside "
                    "its consumer"
                ),
            ),
            look_at=(
                "the log of the process that serves /ws, at this moment: it has a traceback",
                "which version runs there, and which application: `netra.asgi:application`, nothing around it",
                "the proxy's rule for /ws: it may lead to an earlier system",
            ),
        )
    if code == 1006:
        return Diagnosis(
            cause="dropped",
            chain=(
                seen,
                "1006 is no close frame: the connection itself ended, by a proxy or by a server that died",
            ),
            look_at=(
                (
                    "the proxy's time-outs: nginx `proxy_read_timeout`, HAProxy `timeout tunnel`, a load balancer's "
                    "idle time-out"
                ),
                "whether the server's process has been restarted: uptime_seconds of /health, the kernel's log (OOM)",
            ),
        )
    return Diagnosis(
        cause="closed",
        chain=(seen, "Netra says why in a frame before it closes, and there was none"),
        look_at=(f"{code} in docs/protocol.md, section 4", "`refused` in the server's log"),
    )


def let_in(_case: Case) -> Diagnosis:
    return Diagnosis(
        cause="let_in_without_token",
        chain=(
            "A connection without any credential got connection_established",
            (
                "Netra has no setting for that: something before it puts a credential into every request, or it is not "
                "Netra that answers"
            ),
            "Whoever reaches this address is somebody's user",
        ),
        look_at=(
            (
                "the proxy's headers at once: nginx `proxy_set_header Authorization`, HAProxy `http-request set-header "
                "Authorization`"
            ),
            "which process answers /ws",
        ),
    )


def not_protocol(case: Case) -> Diagnosis:
    return Diagnosis(
        cause="not_protocol",
        chain=(
            f"What came is not as docs/protocol.md has it: {case.facts.get('error')}",
            "Another version, an earlier system, or something between that alters what is sent",
        ),
        look_at=("which version and which application serves /ws", "the proxy's rule for /ws"),
    )


def close_code(case: Case) -> Diagnosis:
    code = case.facts.get("close_code")
    if 1011 in (case.facts.get("close_codes") or ()):
        chain = (
            "A connection of this probe was closed with 1011, which Netra never sends",
            "A handler raised outside Netra's consumer, or /ws is another system's",
        )
        look_at = ("the log of the process that serves /ws: it has a traceback", "which version runs there")
        return Diagnosis(cause="closed_1011", chain=chain, look_at=look_at)
    wanted = 4401 if case.stage is Stage.REFUSAL else 1000
    return Diagnosis(
        cause="close_code_lost",
        chain=(
            f"The connection was closed with {code} instead of {wanted}",
            "The frame before it was right, so Netra did close it: something between ends connections in its own way"
            if case.stage is Stage.REFUSAL
            else "A close frame was sent and not answered: something between, or a server that died, ended it",
            "Clients decide by the close code whether to come again, and with what",
        ),
        look_at=(
            "the proxy: it must pass WebSocket frames as they are",
            "the probe against the web process itself, without the proxy",
        ),
    )
