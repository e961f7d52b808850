"""The stages before HTTP: name, connection, TLS."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import socket
import ssl
from typing import Any

import httpx
from cryptography import x509

from netra.probe.observation import Observation, Symptom
from netra.probe.visit import Visit

EXPIRES_SOON_DAYS = 14


async def resolve(visit: Visit) -> Observation:
    host, port = visit.target.host, visit.target.port
    try:
        async with asyncio.timeout(visit.target.timeout):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError:
        return _unresolved(host, f"no answer within {visit.target.timeout:g} s")
    except (OSError, UnicodeError) as error:
        return _unresolved(host, getattr(error, "strerror", None) or str(error))
    visit.addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
    return Observation(summary=", ".join(visit.addresses), facts={"host": host, "addresses": visit.addresses})


def _unresolved(host: str, error: str) -> Observation:
    return Observation(summary=f"{host}: {error}", facts={"host": host, "error": error}, symptom=Symptom.UNRESOLVED)


async def connect(visit: Visit) -> Observation:
    """Each address, since a client may take any of them."""
    port = visit.target.port
    tried = {address: await _tried(address, port, visit.target.timeout) for address in visit.addresses}
    reached = [address for address, error in tried.items() if error is None]
    failed = {address: error for address, error in tried.items() if error is not None}
    facts = {"port": port, "reached": reached, "failed": failed}
    if not reached:
        errors = ", ".join(sorted(set(failed.values())))
        return Observation(summary=f"port {port}: {errors}", facts=facts, symptom=Symptom.UNREACHED)
    notes = tuple(
        f"{address} is not reached ({error}): clients that take this address first are slow, or do not come in"
        for address, error in failed.items()
    )
    local = all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in failed)
    return Observation(
        summary=f"{reached[0]} port {port}", facts=facts, degraded=bool(failed) and not local, notes=notes
    )


async def _tried(address: str, port: int, seconds: float) -> str | None:
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(address, port)
    except TimeoutError:
        return "no answer"
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return error.strerror or str(error)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return None


async def secure(visit: Visit) -> Observation:
    assert visit.target.tls is not None  # noqa: S101 - the stage is skipped for http
    try:
        found = await _handshake(visit, visit.target.tls)
    except TimeoutError:
        plain = await _plain_http(visit)
        return _tls_failed({"error": "no answer", "reason": "TIMED_OUT", "plain_http": plain})
    except ssl.SSLCertVerificationError as error:
        facts = {"error": error.verify_message, "reason": "CERTIFICATE", "verify_code": error.verify_code}
        with contextlib.suppress(OSError, TimeoutError):
            facts |= await _handshake(visit, _unverified())
        return _tls_failed(facts)
    except OSError as error:
        said, reason = getattr(error, "strerror", None) or str(error), getattr(error, "reason", None)
        facts = {"error": said, "reason": reason or type(error).__name__, "plain_http": await _plain_http(visit)}
        return _tls_failed(facts)
    left = found.get("days_left", EXPIRES_SOON_DAYS)
    notes: tuple[str, ...] = (f"The certificate ends in {left} days",) if 0 <= left < EXPIRES_SOON_DAYS else ()
    if not visit.target.tls.check_hostname:
        notes += ("The certificate was not verified (--insecure): browsers may refuse it",)
    return Observation(
        summary=f"{found['version']}, certificate until {found.get('not_after', 'unknown')}", facts=found, notes=notes
    )


def _tls_failed(facts: dict[str, Any]) -> Observation:
    return Observation(summary=facts["error"], facts=facts, symptom=Symptom.TLS_FAILED)


async def _plain_http(visit: Visit) -> int | None:
    """The status that the port answers without TLS."""
    plain = httpx.URL(visit.target.url).copy_with(scheme="http", port=visit.target.port)
    try:
        return (await visit.get(f"{plain}/health")).status_code
    except httpx.RequestError:
        return None


async def speaks_tls(visit: Visit) -> bool:
    """Whether the port takes a TLS handshake, whoever it says it is."""
    try:
        await _handshake(visit, _unverified())
    except (OSError, TimeoutError):
        return False
    return True


async def _handshake(visit: Visit, context: ssl.SSLContext) -> dict[str, Any]:
    """What was agreed on, and the certificate. Raises OSError, ssl.SSLError among it, and TimeoutError."""
    host = visit.target.host
    async with asyncio.timeout(visit.target.timeout):
        _, writer = await asyncio.open_connection(host, visit.target.port, ssl=context, server_hostname=host)
    try:
        connection = writer.get_extra_info("ssl_object")
        encoded = connection.getpeercert(binary_form=True)
        return {"version": connection.version(), **(_certificate(encoded) if encoded else {})}
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _certificate(encoded: bytes) -> dict[str, Any]:
    try:
        found = x509.load_der_x509_certificate(encoded)
    except ValueError:
        return {}
    try:
        named = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [str(name.value) for name in named]
    except (x509.ExtensionNotFound, ValueError):
        names = []
    left = found.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return {
        "subject": found.subject.rfc4514_string(),
        "issuer": found.issuer.rfc4514_string(),
        "names": names,
        "not_before": found.not_valid_before_utc.isoformat(),
        "not_after": found.not_valid_after_utc.isoformat(),
        "days_left": left.days,
    }


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
