"""Names, addresses, TLS."""

from __future__ import annotations

from netra.probe.observation import Case, Diagnosis, Stage

# X.509 verification results of OpenSSL (x509_vfy.h).
NOT_YET_VALID, EXPIRED = 9, 10
UNTRUSTED = frozenset({2, 18, 19, 20, 21})
WRONG_NAME = frozenset({62, 64})
# What OpenSSL says when the answer to its greeting was no TLS.
NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"})


def unresolved(case: Case) -> Diagnosis:
    host = case.facts["host"]
    return Diagnosis(
        cause="name_not_resolved",
        chain=(
            f"The name {host} has no address here: {case.facts['error']}",
            (
                "No server was asked anything: the name is misspelt, or has no A or AAAA record, or this machine "
                "asks a name server that does not know it"
            ),
        ),
        look_at=(
            f"the spelling of {host}",
            f"`getent ahosts {host}` here, and `dig {host} A` and `dig {host} AAAA` at the name server of the domain",
            "/etc/resolv.conf and /etc/hosts, and the VPN, if the name is known inside a network only",
        ),
    )


def unreached(case: Case) -> Diagnosis:
    port, failed = case.facts["port"], case.facts["failed"]
    addresses = ", ".join(f"{address} ({error})" for address, error in failed.items())
    seen = f"No connection to port {port}: {addresses}"
    if "refused" in failed.values():
        return Diagnosis(
            cause="nothing_listens",
            chain=(
                seen,
                "The machine is there and refuses: nothing listens on this port at this address",
                (
                    "The port is wrong, or the server or the proxy does not run, or listens on another address: "
                    "`manage.py serve` listens on 127.0.0.1 unless --host says otherwise"
                ),
            ),
            look_at=(
                (
                    "the port in the URL: Netra's is `manage.py serve --port` (8000), the proxy's are HTTP_PORT and "
                    "HTTPS_PORT in docker-compose.yml"
                ),
                f"`ss -ltnp 'sport = :{port}'` on that machine",
                "`docker compose ps`, or `systemctl status` of the service, and the end of its log",
            ),
        )
    return Diagnosis(
        cause="address_not_reached",
        chain=(
            seen,
            f"What was sent there was not answered at all, neither taken nor refused, although {case.url} resolves",
            "A firewall or security group drops it, the machine is off, or the name leads to an address of before",
        ),
        look_at=(
            f"the firewall's rule for port {port}, and the security group of the machine",
            "whether the address is the one that the machine has now",
            f"`curl -v {case.url}/health` on the machine itself",
        ),
    )


def tls_failed(case: Case) -> Diagnosis:
    facts = case.facts
    if facts["reason"] == "CERTIFICATE":
        return _certificate(case)
    if facts["reason"] in NO_TLS or facts.get("plain_http") is not None:
        plain = case.url.replace("https://", "http://", 1)
        status = facts.get("plain_http")
        return Diagnosis(
            cause="no_tls_on_port",
            chain=(
                f"The TLS handshake failed: {facts['error']}",
                "What answered is no TLS: the port speaks another protocol"
                if status is None
                else f"Without TLS the port answers, with {status}: it speaks plain HTTP",
            ),
            look_at=(f"{plain}, if TLS is not meant to be here", "the proxy's listener: its certificate is not set up"),
        )
    return Diagnosis(
        cause="tls_refused",
        chain=(
            f"The TLS handshake failed: {facts['error']} ({facts['reason']})",
            (
                "The connection was made, so the server or proxy ends the handshake: it has no certificate for this "
                "name, or no version or cipher in common with this machine"
            ),
        ),
        look_at=(
            "the proxy's log, and whether its certificate and key were loaded",
            "`openssl s_client -connect HOST:PORT -servername HOST`, which shows the alert",
        ),
    )


def _certificate(case: Case) -> Diagnosis:
    facts = case.facts
    code, host = facts.get("verify_code"), case.fact(Stage.DNS, "host")
    shown = f"It is of {facts.get('subject', 'unknown')}, issued by {facts.get('issuer', 'unknown')}"
    seen = f"The certificate was not accepted: {facts['error']}"
    renew = "renew it; behind docker-compose.yml put it into TLS_CERTIFICATES and `docker compose restart proxy`"
    if code in (EXPIRED, NOT_YET_VALID):
        valid = f"{facts.get('not_before', '?')} to {facts.get('not_after', '?')}"
        return Diagnosis(
            cause="certificate_expired" if code == EXPIRED else "certificate_not_yet_valid",
            chain=(seen, shown, f"It is valid from {valid}, and this machine's clock is not between them"),
            look_at=(
                f"the certificate: {renew}",
                "whether the proxy was restarted after the last renewal",
                "`timedatectl` on this machine",
            ),
        )
    if code in WRONG_NAME:
        return Diagnosis(
            cause="certificate_of_another_name",
            chain=(seen, shown, f"It names {', '.join(facts.get('names', ())) or 'nobody'}, and not {host}"),
            look_at=(
                f"the name in the URL; a certificate for {host}",
                "the proxy's choice of certificates by name (SNI): it may have shown its default",
            ),
        )
    if code in UNTRUSTED:
        itself = facts.get("subject") is not None and facts.get("subject") == facts.get("issuer")
        return Diagnosis(
            cause="certificate_untrusted",
            chain=(
                seen,
                shown,
                "It is signed by itself, which no client trusts that does not know it"
                if itself
                else "Its issuer is not known here, or the server does not send the certificates between",
            ),
            look_at=(
                "--ca-file with the certificate of the authority, if it is one of your own",
                "the file that the proxy loads: the whole chain first (fullchain.pem), then the key",
            ),
        )
    return Diagnosis(cause="certificate_refused", chain=(seen, shown), look_at=(f"the certificate: {renew}",))
