"""Tokens, and what Netra refuses with a code."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from netra.probe.diagnosis import services
from netra.probe.diagnosis.answers import GATEWAY
from netra.probe.observation import Case, Diagnosis, Facts, Stage

CLOCK_SECONDS = 5

_STRIPPED = {
    Stage.HEADER: (
        "authorization_stripped",
        (
            "the proxy's headers: nginx `proxy_set_header Authorization $http_authorization;` (and no empty one), "
            "HAProxy without `http-request del-header Authorization`, Apache without `RequestHeader unset "
            "Authorization`; a gateway that authenticates itself must pass it on"
        ),
    ),
    Stage.SUBPROTOCOL: (
        "subprotocol_stripped",
        (
            "the proxy's headers: nginx `proxy_set_header Sec-WebSocket-Protocol $http_sec_websocket_protocol;`, "
            "HAProxy without `http-request del-header Sec-WebSocket-Protocol`"
        ),
    ),
}


def not_a_token(case: Case) -> Diagnosis:
    facts = case.facts
    return Diagnosis(
        cause="not_a_token",
        chain=(
            "What was given as --token is not a JWT",
            (
                f"It has {facts['parts']} parts between dots and {facts['length']} characters; a JWT has three parts "
                "of base64url, the first two JSON"
            ),
        ),
        look_at=("the field `access` of POST /api/auth/token: it alone, without quotes and without `Bearer`",),
    )


def no_sign_in(case: Case) -> Diagnosis:
    facts = case.facts
    code, status = facts.get("code"), facts.get("status")
    seen = f"POST /api/auth/token: {code}, {facts['message']}" + (f" (status {status})" if status else "")
    if code == "INVALID_CREDENTIALS":
        return Diagnosis(
            cause="wrong_password",
            chain=(
                seen,
                "Netra knows no active user of this name with this password, in the database that it uses",
            ),
            look_at=(
                "user name and password; `manage.py changepassword NAME` on the server",
                "the environment: each has users of its own",
            ),
        )
    if code == "SERVICE_UNAVAILABLE":
        return _unavailable(case, seen)
    if code == "INTERNAL_ERROR":
        return _raised(seen, facts.get("correlation_id"), "request_failed", "the sign-in")
    if code == "RATE_LIMITED":
        return _limited(seen, code)
    if not facts.get("netra"):
        return _not_netra(case, seen)
    return Diagnosis(cause="sign_in_refused", chain=(seen,), look_at=(f"`{code}` in docs/protocol.md, section 4",))


def _not_netra(case: Case, seen: str) -> Diagnosis:
    gone = "a proxy that has no server for it" if case.facts.get("status") in GATEWAY else "something before it"
    return Diagnosis(
        cause="api_not_routed",
        chain=(
            seen,
            f"The answer is none of Netra's, which have an error_code: it is {gone}, although /health is Netra's",
            "The proxy leads /api elsewhere than /health, or does not let a POST through",
        ),
        look_at=(
            "the proxy's rules for /api: nginx `location`, HAProxy `use_backend`, Apache `ProxyPass`",
            "a firewall for web applications, which may refuse the POST",
        ),
    )


def refused(case: Case) -> Diagnosis:
    """An error frame of a socket, or a coded answer of REST in the stage of the message."""
    facts = case.facts
    code = str(facts.get("error_code"))
    seen = f"{_where(case)} was answered with {code}: {facts.get('error_message')}"
    if code in _BY_CODE:
        return _BY_CODE[code](case, seen)
    return Diagnosis(
        cause="refused", chain=(seen,), look_at=(f"`{code}` in docs/protocol.md, section 4, and in the log",)
    )


def _where(case: Case) -> str:
    match case.stage:
        case Stage.REFUSAL:
            return "A connection without a token"
        case Stage.HEADER:
            return "The token in the Authorization header"
        case Stage.SUBPROTOCOL:
            return "The token in the subprotocol"
        case Stage.PING:
            return "A ping"
        case Stage.MESSAGE | Stage.RESUME:
            return f"A message (over {case.facts.get('over') or 'a new socket'})"
        case _:
            return "The connection"


def _no_token(case: Case, seen: str) -> Diagnosis:
    """A credential was sent, and none arrived, or another one."""
    said = case.details.get("auth_headers")
    headers = said if isinstance(said, Mapping) else {}
    other = case.facts.get("other_form")
    header = case.stage is Stage.HEADER
    cause, look_at = _STRIPPED.get(case.stage, ("credential_lost", "the proxy's rules for headers"))
    name = "Authorization" if header else "Sec-WebSocket-Protocol"
    arrived = headers.get("authorization_present") if header else headers.get("websocket_protocol") != "[MISSING]"
    sent = f"The header {name} was sent, and Netra says that " + (
        "one arrived, but without a token: something has replaced it" if arrived else "none arrived"
    )
    taken = f"A proxy between takes {name} away"
    if header and arrived:
        cause, taken = "authorization_replaced", f"A proxy between puts another {name} in its place"
    also = (
        f"The other form of the credential is accepted, so the token is good and only {name} is lost: "
        + ("programs are locked out, browsers are not" if header else "browsers are locked out, programs are not")
        if other == "established"
        else f"The other form of the credential does not come in either ({other})"
    )
    return Diagnosis(cause=cause, chain=(seen, sent, also, taken), look_at=(look_at,))


# A token that is not valid


def invalid_token(case: Case, seen: str) -> Diagnosis:
    """The signature, the clock or the user does not fit. Which, the times in the token and REST decide."""
    token: Facts = case.seen[Stage.TOKEN].facts
    issued_here = token.get("source") == "sign-in"
    ahead = _ahead(case)
    if ahead is not None and ahead > CLOCK_SECONDS:
        return _from_the_future(seen, ahead, issued_here=issued_here)
    if token.get("token_type") not in (None, "access"):
        return Diagnosis(
            cause="not_an_access_token",
            chain=(seen, f"It is a token of the type {token['token_type']}, and only `access` lets in"),
            look_at=("the field `access` of POST /api/auth/token, not `refresh`",),
        )
    if case.stage in (Stage.MESSAGE, Stage.RESUME, Stage.ESTABLISHED) or "established" in _again(case):
        return _disagree(seen, "A connection with the same token was accepted a moment before or after", issued_here)
    rest = case.facts.get("rest") or {}
    if rest.get("status") == 200:
        return _disagree(seen, "REST (/api/me) takes the same token at the same address", issued_here)
    if issued_here:
        said = f"REST (/api/me) refuses it, too: {rest.get('code')}"
        return _disagree(seen, f"This address issued the token a moment ago. {said}", issued_here)
    return Diagnosis(
        cause="token_of_another_key",
        chain=(
            seen,
            f"REST (/api/me) refuses it, too: {rest.get('code') or rest.get('status')}",
            f"Its times are right (it ends in {token.get('expires_in_seconds')} s): its signature is not, or its user",
            (
                "It was signed with another NETRA_SECRET_KEY, by another environment or before the key was changed; "
                "or its user was deleted, or has a new password since"
            ),
        ),
        look_at=(
            "where the token comes from; --username gets one from this server itself",
            (
                "NETRA_SECRET_KEY of the process that issued it and of this one: the same for all processes of a "
                "deployment (compare `printenv NETRA_SECRET_KEY | sha256sum`)"
            ),
        ),
    )


def _again(case: Case) -> tuple[str, ...]:
    return tuple(case.facts.get("again") or ())


def _ahead(case: Case) -> float | None:
    """By how much the token was issued in the future of the server, as far as its clock was seen, else of this one."""
    issued_ago = case.fact(Stage.TOKEN, "issued_seconds_ago")
    if issued_ago is None:
        return None
    offset = case.facts.get("clock_offset_seconds") or 0
    return float(-issued_ago - offset)


def _from_the_future(seen: str, ahead: float, *, issued_here: bool) -> Diagnosis:
    by = "The process that signs people in at this address" if issued_here else "Who issued it"
    return Diagnosis(
        cause="clock_skew",
        chain=(
            seen,
            f"It says that it was issued {ahead:.0f} s from now (iat), and a token of the future is not valid",
            f"{by} has a clock that is {ahead:.0f} s ahead of the one that checks",
        ),
        look_at=(
            (
                "`timedatectl` on the machine that issued the token and on those of the web processes: each must say "
                "`System clock synchronized: yes`"
            ),
            "`systemctl status systemd-timesyncd` or chrony; containers have the clock of their machine",
        ),
    )


def _disagree(seen: str, evidence: str, issued_here: bool) -> Diagnosis:
    return Diagnosis(
        cause="different_keys",
        chain=(
            seen,
            evidence,
            "So one process signs or accepts what another does not: behind this address are processes with different "
            "NETRA_SECRET_KEY" + ("; their clocks do not differ, by the times in the token" if issued_here else ""),
            "Without NETRA_SECRET_KEY each data folder has a key of its own (development)",
        ),
        look_at=(
            "NETRA_SECRET_KEY of every web process: `printenv NETRA_SECRET_KEY | sha256sum` in each prints the same",
            "the proxy's servers and its rules for /ws and /api: do they lead to the same deployment?",
            "a web process of before the last change of the key, which was not restarted",
        ),
    )


def _expired(case: Case, seen: str) -> Diagnosis:
    left = case.fact(Stage.TOKEN, "expires_in_seconds")
    if left is None or left <= CLOCK_SECONDS:
        ago = "" if left is None else f" {-left} s ago by this machine's clock,"
        return Diagnosis(
            cause="token_expired",
            chain=(seen, f"It ended{ago} and by the server's"),
            look_at=("a new token from POST /api/auth/token, or --username, which gets one",),
        )
    others = (
        ("Asked again, another process behind this address accepted it: not all of them have that clock",)
        if "established" in _again(case)
        else ()
    )
    return Diagnosis(
        cause="clock_skew",
        chain=(
            seen,
            f"By this machine's clock it is valid for another {left} s",
            f"The two clocks differ: the server's is at least {left} s ahead of this machine's, or this one is behind",
            *others,
        ),
        look_at=(
            (
                "`timedatectl` here and on the machines of the web processes: each must say `System clock "
                "synchronized: yes`"
            ),
            "`systemctl status systemd-timesyncd` or chrony; containers have the clock of their machine",
        ),
    )


# Others


def _origin(case: Case, seen: str) -> Diagnosis:
    host = case.url.partition("://")[2].partition("/")[0]
    origin = case.origin or "unknown"
    if origin.partition("://")[2] == host:
        return Diagnosis(
            cause="host_replaced",
            chain=(
                seen,
                f"The origin {origin} is the address itself, and Netra takes pages of the Host that it is asked for",
                f"So the Host that arrives is not {host}, or not a name of Netra's: a proxy replaces it",
            ),
            look_at=(
                (
                    "the proxy's Host: nginx `proxy_set_header Host $http_host;`, Apache `ProxyPreserveHost On`, "
                    "HAProxy without `http-request set-header Host`"
                ),
                "NETRA_ALLOWED_HOSTS, which must name it",
            ),
        )
    return Diagnosis(
        cause="origin_not_allowed",
        chain=(
            seen,
            f"The origin {origin} is neither {host}, the address itself, nor one that Netra was told of",
            "Netra lets pages of other sites in only when it was told to",
        ),
        look_at=(
            f"NETRA_ALLOWED_ORIGINS={origin} (whole origins, separated by commas), if pages from there are to connect",
            "--origin, if it is not where the page comes from",
        ),
    )


def _inactive(_case: Case, seen: str) -> Diagnosis:
    return Diagnosis(
        cause="user_inactive",
        chain=(seen, "The token is valid, and its user may not come in any more: `active` is off"),
        look_at=("the user in /admin/, field `Active`; or another user for the probe",),
    )


def _unavailable(case: Case, seen: str) -> Diagnosis:
    return services.missing(case.missing, seen)


def _internal(case: Case, seen: str) -> Diagnosis:
    return _raised(seen, case.details.get("correlation_id"), "handler_failed", "the handler")


def _no_agent(case: Case, seen: str) -> Diagnosis:
    known = map(str, case.fact(Stage.ESTABLISHED, "agents") or ())
    return Diagnosis(
        cause="agent_not_found",
        chain=(seen, f"The server has the agents {', '.join(known)}"),
        look_at=("--agent", "NETRA_AGENTS and NETRA_APPS, if it is one of yours"),
    )


def _too_many(case: Case, seen: str) -> Diagnosis:
    return _limited(seen, case.facts["error_code"])


def _limited(seen: str, code: str) -> Diagnosis:
    setting = {
        "TOO_MANY_CONNECTIONS": "NETRA_MAX_CONNECTIONS, and the other open sockets of this user",
        "RATE_LIMITED": "the limits of a minute (docs/limits.md), and what else this user sends",
        "TOO_MANY_RUNS": "NETRA_MAX_OPEN_RUNS, and the user's open runs: GET /api/runs",
        "ALLOWANCE_USED": "the limits of a day (docs/limits.md), and what is left: GET /api/usage/allowance",
    }
    return Diagnosis(
        cause=code.lower(),
        chain=(seen, "The limit is that of one user: others are not concerned"),
        look_at=("a user of its own for the probe", setting[code]),
    )


def _raised(seen: str, correlation_id: object, event: str, what: str) -> Diagnosis:
    return Diagnosis(
        cause="handler_raised",
        chain=(
            seen,
            (
                f"An exception was raised in {what}, caught there and answered with a code: Netra lives, and this is "
                "a bug or a service that fails in a way that nobody has foreseen"
            ),
            f"The server's log has its traceback under the correlation id {correlation_id}",
        ),
        look_at=(
            (
                f"`grep {correlation_id} LOG` on the web processes (`docker compose logs web | grep "
                f"{correlation_id}`): the line is `{event}`, with the traceback"
            ),
            "`manage.py migrate --check`: tables of another version are a frequent reason",
        ),
    )


_BY_CODE: Mapping[str, Callable[[Case, str], Diagnosis]] = {
    "HTTP_ERROR": _not_netra,
    "NO_TOKEN": _no_token,
    "INVALID_TOKEN": invalid_token,
    "TOKEN_EXPIRED": _expired,
    "ORIGIN_NOT_ALLOWED": _origin,
    "SERVICE_UNAVAILABLE": _unavailable,
    "INTERNAL_ERROR": _internal,
    "USER_INACTIVE": _inactive,
    "AGENT_NOT_FOUND": _no_agent,
    "TOO_MANY_CONNECTIONS": _too_many,
    "RATE_LIMITED": _too_many,
    "TOO_MANY_RUNS": _too_many,
    "ALLOWANCE_USED": _too_many,
}
