"""HTTP with the tokens of one person. No token and no password is ever logged or shown."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self

import httpx

# A token is renewed when less than this is left of it.
RENEW_SECONDS = 60.0
TIMEOUT_SECONDS = 30.0
# A refresh token is exchanged once; for half a minute the same one may be sent again, should the answer be lost.
REFRESH_TIMEOUT_SECONDS = 10.0
# The code of an answer that is not Netra's.
HTTP_ERROR = "HTTP_ERROR"
# What may be gone when it is asked again later.
PASSING = frozenset({"SERVICE_UNAVAILABLE", "TOO_MANY_CONNECTIONS"})


class ApiError(Exception):
    """What the server answered instead: one shape for REST and socket. `retry_after` is in seconds."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int | None = None,
        details: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
        correlation_id: str | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.details = dict(details or {})
        self.retry_after = retry_after
        self.correlation_id = correlation_id

    @property
    def passes(self) -> bool:
        """Whether to ask again later, which the client does by itself. A proxy's error has no code of Netra's."""
        return self.code in PASSING or (self.code == HTTP_ERROR and self.status is not None and self.status >= 500)

    @classmethod
    def of_frame(cls, frame: Mapping[str, Any]) -> Self:
        """Of an `error_message`."""
        return cls(
            frame["error_code"],
            frame["error_message"],
            details=frame.get("details"),
            retry_after=frame.get("retry_after"),
        )

    @classmethod
    def of_response(cls, response: httpx.Response) -> Self:
        try:
            body = response.json()
            code, message = str(body["error_code"]), str(body["error_message"])
        except (ValueError, KeyError, TypeError):
            body, code, message = {}, HTTP_ERROR, f"{response.status_code} {response.reason_phrase}"
        after = response.headers.get("retry-after", "")
        return cls(
            code,
            message,
            status=response.status_code,
            details=body.get("details"),
            retry_after=float(after) if after.isdigit() else None,
            correlation_id=body.get("correlation_id"),
        )


class SignedOut(Exception):
    """There is no valid token, and nothing to get one with."""


class Session:
    """A person at a server, by user name and password or by a token. Use it as a context manager, or `aclose` it."""

    def __init__(
        self,
        base_url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.http = httpx.AsyncClient(
            base_url=self.base_url, timeout=timeout, verify=tls or True, headers=dict(headers or {}), trust_env=False
        )
        self.tls = tls
        self._username = username
        self._password = password
        self._access = token
        self._refresh: str | None = None
        self._renew_at = float("inf")
        self._renewing = asyncio.Lock()
        self._refresh_timeout = min(timeout, REFRESH_TIMEOUT_SECONDS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self.http.aclose()

    # Tokens

    async def token(self) -> str:
        """A valid access token. Raises SignedOut or ApiError."""
        if self._access is None or time.monotonic() >= self._renew_at:
            await self.renew(self._access)
        assert self._access is not None  # noqa: S101 - renew() has raised otherwise
        return self._access

    async def renew(self, old: str | None) -> None:
        """Another access token than `old`, unless somebody else has got one meanwhile: one request at a time."""
        async with self._renewing:
            if self._access is not None and self._access != old:
                return
            if self._refresh is not None and await self._refreshed(self._refresh):
                return
            if self._username is None or self._password is None:
                self._access = None
                raise SignedOut("The token is not valid any more, and there is no password to sign in with")
            self._take(await self._post("/api/auth/token", {"username": self._username, "password": self._password}))

    async def _refreshed(self, refresh: str) -> bool:
        """False when the refresh token is good for nothing any more."""
        try:
            timeout = self._refresh_timeout
            self._take(await self._post("/api/auth/token/refresh", {"refresh": refresh}, timeout=timeout))
        except ApiError as error:
            if error.status != httpx.codes.UNAUTHORIZED:
                raise
            self._refresh = None
            return False
        return True

    def _take(self, answer: Mapping[str, Any]) -> None:
        self._access = answer["access"]
        self._refresh = answer.get("refresh", self._refresh)
        left = float(answer["expires_in"])
        self._renew_at = time.monotonic() + max(left - RENEW_SECONDS, left / 2)

    async def _post(self, path: str, body: Mapping[str, Any], **options: Any) -> Any:
        response = await self.http.post(path, json=dict(body), **options)
        if response.is_error:
            raise ApiError.of_response(response)
        return response.json()

    # Requests

    @contextlib.asynccontextmanager
    async def response(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> AsyncIterator[httpx.Response]:
        """An answer whose body is still to be read; `options` are those of httpx: `json`, `params`.

        Raises ApiError, SignedOut, and httpx.TransportError.
        """
        for may_renew in (True, False):
            token = await self.token()
            given = {**(headers or {}), "Authorization": f"Bearer {token}"}
            async with self.http.stream(method, path, headers=given, **options) as response:
                if response.status_code == httpx.codes.UNAUTHORIZED and may_renew:
                    await self.renew(token)
                    continue
                if response.is_error:
                    await response.aread()
                    raise ApiError.of_response(response)
                yield response
                return

    async def request(self, method: str, path: str, **options: Any) -> Any:
        """The JSON of an answer, or its text when it is none; None where it is empty. Options and errors as above."""
        async with self.response(method, path, **options) as response:
            await response.aread()
        if not response.content:
            return None
        is_json = response.headers.get("content-type", "").startswith("application/json")
        return response.json() if is_json else response.text
