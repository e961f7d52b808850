"""What the client makes of the end of a connection."""

from __future__ import annotations

import pytest

from netra.client.end import End
from netra.client.session import ApiError


@pytest.mark.parametrize(
    ("end", "least", "most"),
    [
        (End(), 0.2, 0.2),
        (End(code=1000), 0.2, 0.2),
        (End(code=1012), 0.2, 0.2),
        (End(code=4408), 0.2, 0.2),
        (End(code=4412), 0.0, 3.0),
        (End(code=4429), 5.0, 5.0),
        (End(error=ApiError("SERVICE_UNAVAILABLE", "", retry_after=2.0)), 2.0, 3.0),
        (End(error=ApiError("TOO_MANY_CONNECTIONS", "")), 0.2, 0.2),
    ],
)
def test_the_next_attempt_waits_as_the_server_asks(end: End, least: float, most: float) -> None:
    pauses = [end.pause(0.2, draining_seconds=3.0) for _ in range(200)]
    assert least <= min(pauses) <= max(pauses) <= most
    assert least == most or max(pauses) - min(pauses) > (most - least) / 2, "clients do not come back all at once"


def test_a_server_that_is_asked_again_and_again_is_asked_ever_less() -> None:
    assert End(code=4429).pause(30.0, draining_seconds=0) == 30.0
    assert End(error=ApiError("SERVICE_UNAVAILABLE", "", retry_after=2.0)).pause(30.0, draining_seconds=0) == 30.0


@pytest.mark.parametrize(
    ("end", "for_the_token"),
    [
        (End(code=4401), True),
        (End(error=ApiError("TOKEN_EXPIRED", "")), True),
        (End(error=ApiError("INVALID_TOKEN", "")), True),
        (End(error=ApiError("SERVICE_UNAVAILABLE", "")), False),
        (End(code=4412), False),
        (End(), False),
    ],
)
def test_another_token_is_asked_for_when_the_one_was_refused(end: End, for_the_token: bool) -> None:
    assert end.for_the_token is for_the_token
