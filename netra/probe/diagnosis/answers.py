"""Answers over HTTP that are not Netra's, or not what was asked for."""

from __future__ import annotations

from netra.probe.observation import Case, Diagnosis, Facts, Stage

REDIRECTS = frozenset({301, 302, 303, 307, 308})
GATEWAY = frozenset({502, 503, 504})
_PATHS = {Stage.HEALTH: "/health", Stage.READY: "/health/ready", Stage.TOKEN: "/api/auth/token", Stage.MESSAGE: "/api"}


def words(facts: Facts) -> str:
    """An answer, and who gave it, as far as it says so."""
    said = f"{facts.get('status')} {facts.get('reason') or ''}".strip()
    who = [f"Server: {facts['server']}"] if facts.get("server") else []
    who += [f"Via: {facts['via']}"] if facts.get("via") else []
    return f"{said} ({', '.join(who)})" if who else said


def by_whom(facts: Facts) -> str:
    if facts.get("netra"):
        return "Netra itself answered: its header X-Correlation-ID is there"
    return "Netra did not answer this: its header X-Correlation-ID is missing, so something before it did"


def path_of(case: Case) -> str:
    return _PATHS.get(case.stage, "/ws")


def no_http(case: Case) -> Diagnosis:
    seen = f"{path_of(case)} got no HTTP answer: {case.facts['error']}"
    if case.facts.get("speaks_tls"):
        return _speaks_tls(case, seen)
    return Diagnosis(
        cause="no_http",
        chain=(
            seen,
            "The port takes connections, and what is behind it closes them or speaks another protocol",
            "The port is another service's, or a proxy or server is just being started or has just died",
        ),
        look_at=(
            "which process listens: `ss -ltnp` on that machine",
            "the port in the URL",
            "the end of the log of the proxy and of the server",
        ),
    )


def _speaks_tls(case: Case, seen: str) -> Diagnosis:
    return Diagnosis(
        cause="tls_on_port",
        chain=(seen, "The port takes a TLS handshake: it is an HTTPS port, and was asked in plain HTTP"),
        look_at=(case.url.replace("http://", "https://", 1),),
    )


def timed_out(case: Case) -> Diagnosis:
    path = path_of(case)
    chain = [f"{path} was not answered in time, although the port takes connections"]
    if path == "/health":
        chain.append(
            "/health asks nothing of others, so the process that should answer does not run its loop: it is blocked, "
            "stopped or out of memory, or a proxy waits for a server that is gone"
        )
    else:
        chain.append("/health was answered a moment ago by the same address, so this path is answered by nobody")
    return Diagnosis(
        cause="no_answer",
        chain=tuple(chain),
        look_at=(
            "the state of the server's process: `top`, and `kill -0` of its id; the end of its log",
            "the same path on the web process itself, without the proxy",
            "--timeout, if the way there is slow",
        ),
    )


def not_netra(case: Case) -> Diagnosis:
    facts = case.facts
    kind = facts.get("content_type") or "no type"
    return Diagnosis(
        cause="not_netra",
        chain=(
            f"/health answered {words(facts)} with {kind}, and it is not Netra's answer, which has service: netra",
            by_whom(facts),
            "The address is another program's: the port or the name is wrong, or a proxy sends this path elsewhere",
        ),
        look_at=(
            "the port and the name in the URL",
            "which process listens: `ss -ltnp` on that machine",
            "the proxy's rule for /health: nginx `location`, HAProxy `use_backend`, Apache `ProxyPass`",
        ),
    )


def status(case: Case) -> Diagnosis:  # noqa: PLR0911 - one for each cause
    facts, path = case.facts, path_of(case)
    code = facts["status"]
    seen = f"{path} answered {words(facts)}"
    if code in REDIRECTS:
        return _redirected(case, seen)
    if code == 400 and facts.get("netra"):
        return _wrong_host(case, seen)
    if code == 400 and facts.get("speaks_tls"):
        return _speaks_tls(case, seen)
    if code in GATEWAY and not facts.get("netra"):
        return gateway(case, seen)
    if code in (401, 403, 407) and not facts.get("netra"):
        return Diagnosis(
            cause="forbidden_by_proxy",
            chain=(seen, by_whom(facts), "A proxy lets nobody, or not this machine, or only who signs in there, to it"),
            look_at=(
                (
                    "the proxy's rules for this path and address: nginx `allow`, `deny`, `auth_basic`; HAProxy "
                    "`http-request deny`; Apache `Require`; a firewall for web applications"
                ),
            ),
        )
    if code == 404:
        return Diagnosis(
            cause="wrong_path",
            chain=(
                seen,
                by_whom(facts),
                (
                    "The path that was asked for is not Netra's: the URL has a path too many or too few, or the proxy "
                    "leads elsewhere"
                ),
            ),
            look_at=(
                "the path in the URL",
                "whether the proxy takes its prefix off: nginx `proxy_pass http://netra/;` with the slash at the end",
            ),
        )
    if facts.get("netra"):
        return Diagnosis(
            cause="server_error",
            chain=(seen, by_whom(facts), "A request that has no condition failed inside Netra"),
            look_at=("`request_failed` in the server's log, with its traceback",),
        )
    return Diagnosis(
        cause="unexpected_answer",
        chain=(seen, by_whom(facts)),
        look_at=("the proxy's log for this request", "the port and the name in the URL"),
    )


def gateway(case: Case, seen: str) -> Diagnosis:
    """A proxy says that it has no server."""
    why = {
        502: "It could not connect to the server behind it, or the server hung up",
        503: "It has no server that it takes for ready: where it asks /health/ready, every web process answers 503 "
        "there or does not answer",
        504: "The server behind it took the request and did not answer in time",
    }
    return Diagnosis(
        cause="proxy_without_server",
        chain=(seen, by_whom(case.facts), "A proxy answered in the name of Netra", why[int(case.facts["status"])]),
        look_at=(
            "a web process itself: `curl http://WEB:8000/health/ready` names what it misses",
            "whether the web processes run: `docker compose ps web`, `systemctl status 'netra-web@*'`",
            "the address of the servers in the proxy: HAProxy `server`, nginx `upstream`, Apache `ProxyPass`",
        ),
    )


def _redirected(case: Case, seen: str) -> Diagnosis:
    location = str(case.facts.get("location"))
    to_https = case.url.startswith("http://") and location.startswith("https://")
    return Diagnosis(
        cause="redirects_to_https" if to_https else "redirected",
        chain=(
            f"{seen} and leads to {location}",
            "Plain HTTP is only there to lead to HTTPS" if to_https else "Netra is asked for at another address",
        ),
        look_at=(location.removesuffix("/health") if to_https else f"{location}, or the proxy's redirect",),
    )


def _wrong_host(case: Case, seen: str) -> Diagnosis:
    """Django's answer to a Host that is not in ALLOWED_HOSTS. The name localhost is always in it."""
    host = case.fact(Stage.DNS, "host")
    chain = (seen, by_whom(case.facts), "Netra answers 400 to a Host header that is not among its names")
    if case.facts.get("as_localhost") == 200:
        return Diagnosis(
            cause="host_not_allowed",
            chain=(
                *chain,
                (
                    f"The same request with Host: localhost, which every Netra takes, was answered with 200: it is the "
                    f"name {host} that it does not take"
                ),
            ),
            look_at=(
                f"NETRA_ALLOWED_HOSTS={host} (names separated by commas, without scheme and port), then restart",
                "the name in the URL, if it is not the one that people use",
            ),
        )
    return Diagnosis(
        cause="host_replaced",
        chain=(
            *chain,
            (
                "With Host: localhost, which every Netra takes, it is 400 too: the Host that arrives is not the one "
                "that was sent"
            ),
            "A proxy puts its own name for the server there",
        ),
        look_at=(
            (
                "the proxy's Host: nginx `proxy_set_header Host $host;`, Apache `ProxyPreserveHost On`, HAProxy "
                "without `http-request set-header Host`"
            ),
            (
                f"otherwise NETRA_ALLOWED_HOSTS with the name that the proxy sends, beside {host}: `Invalid HTTP_HOST "
                "header` in the server's log shows it"
            ),
        ),
    )
