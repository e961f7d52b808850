"""The users in whose name a deployment is checked."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from chat.fold import ClientState
from tests.clients import Answer, Connecting, connected, request, sign_in
from tests.event_source import EventSource, event_source

# A token that ends sooner is not begun to be used: a check takes less.
LEFT_SECONDS = 120.0


class Person:
    """A user: HTTP, streams and sockets in their name. Signs in when a token is first needed, and when it grows old."""

    def __init__(
        self, base_url: str, username: str, password: str, *, make_token: Callable[[], str] | None = None
    ) -> None:
        self.base_url = base_url
        self.username = username
        self.password = password
        self._make_token = make_token
        self._token = ""
        self._good_until = 0.0

    def __repr__(self) -> str:
        return f"Person({self.username!r})"

    def sign_in(self) -> dict[str, Any]:
        """`access`, `expires_in` and `refresh`, as the server gives them."""
        return sign_in(self.base_url, self.username, self.password)

    def token(self) -> str:
        if self._make_token is not None:
            return self._make_token()
        if time.monotonic() > self._good_until:
            tokens = self.sign_in()
            self._token = tokens["access"]
            self._good_until = time.monotonic() + tokens["expires_in"] - LEFT_SECONDS
        return self._token

    def http(self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None) -> Answer:
        return request(self.base_url, method, path, token=self.token(), body=body, headers=headers)

    def get(self, path: str) -> Any:
        """What is at a path."""
        answer = self.http("GET", path)
        assert answer.status == 200, f"GET {path}: {answer.status} {answer.body}"
        return answer.body

    def connect(self, *, state: ClientState | None = None) -> Connecting:
        """A socket that has received `connection_established`. With a `state`, it has resumed from it."""
        return connected(self.base_url, self.token(), state=state)

    def stream(
        self, path: str, body: object = None, *, last_id: str | None = None
    ) -> contextlib.AbstractAsyncContextManager[EventSource]:
        """The answer to a request for a stream of events."""
        return event_source(self.base_url, path, token=self.token(), body=body, last_id=last_id)


def another(people: Sequence[Person]) -> Person:
    """The second of them. Skips where there is but one."""
    if len(people) < 2:
        pytest.skip("one must not see the other's: set STAGING_SECOND_USERNAME and STAGING_SECOND_PASSWORD to check it")
    return people[1]
