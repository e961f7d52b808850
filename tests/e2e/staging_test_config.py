"""Where the priority-1 checks run, and as whom.

    STAGING_BASE_URL           the deployment, such as https://chat.example.org; without it a server is started
    STAGING_USERNAME           a user of it
    STAGING_PASSWORD
    STAGING_SECOND_USERNAME    another user: what one must not see of the other
    STAGING_SECOND_PASSWORD
    STAGING_SECRET_KEY         optional: the deployment's NETRA_SECRET_KEY, to make tokens that only it can make
    STAGING_INACTIVE_USER_ID   optional: the id of a deactivated user, whose token is then made with that key

What cannot be checked without the optional ones is reported as skipped, with the name of the variable.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.clients import sign_in, signing_key
from tests.live import LiveServer

SERVERS_OWN_USERS = 4


class StagingIncomplete(Exception):
    """A variable is missing without which there is nothing to check."""

    def __init__(self, name: str) -> None:
        super().__init__(f"STAGING_BASE_URL is set, so {name} must be set, too")


@dataclass(frozen=True, slots=True)
class Credentials:
    username: str
    password: str


@dataclass(frozen=True, slots=True)
class StagingTestConfig:
    """A deployment and its users, two at least. `signing_key` and `inactive_user_id` are None where unknown."""

    base_url: str
    users: tuple[Credentials, ...]
    signing_key: str | None = None
    inactive_user_id: str | None = None
    _tokens: dict[str, str] = field(default_factory=dict)

    def token(self, user: Credentials) -> str:
        """An access token of a user, who signs in once for all tests."""
        if user.username not in self._tokens:
            self._tokens[user.username] = sign_in(self.base_url, user.username, user.password)["access"]
        return self._tokens[user.username]


def from_environment(environment: Mapping[str, str] = os.environ) -> StagingTestConfig | None:
    """None without a base URL. Raises StagingIncomplete."""
    base_url = environment.get("STAGING_BASE_URL", "").rstrip("/")
    if not base_url:
        return None

    def required(name: str) -> str:
        if not environment.get(name):
            raise StagingIncomplete(name)
        return environment[name]

    secret_key = environment.get("STAGING_SECRET_KEY")
    return StagingTestConfig(
        base_url=base_url,
        users=(
            Credentials(required("STAGING_USERNAME"), required("STAGING_PASSWORD")),
            Credentials(required("STAGING_SECOND_USERNAME"), required("STAGING_SECOND_PASSWORD")),
        ),
        signing_key=signing_key(secret_key) if secret_key else None,
        inactive_user_id=environment.get("STAGING_INACTIVE_USER_ID") or None,
    )


def of_server(server: LiveServer) -> StagingTestConfig:
    """A server that the tests have started: everything can be checked."""
    users = server.add_users(SERVERS_OWN_USERS, "staging")
    return StagingTestConfig(
        base_url=server.url,
        users=tuple(Credentials(user.username, user.password) for user in users),
        signing_key=signing_key(),
        inactive_user_id=str(server.add_user("inactive", is_active=False).id),
    )
