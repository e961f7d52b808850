"""Where the priority-1 checks run, and as whom.

    STAGING_BASE_URL           the deployment, such as https://chat.example.org; without it a server is started
    STAGING_USERNAME           a user of it
    STAGING_PASSWORD
    STAGING_SECOND_USERNAME    optional: another user, what one must not see of the other
    STAGING_SECOND_PASSWORD
    STAGING_USERS              optional: more users, as user:password,user:password
    STAGING_SECRET_KEY         optional: the deployment's NETRA_SECRET_KEY, to make tokens that only it can make
    STAGING_INACTIVE_USER_ID   optional: the id of a deactivated user, whose token is then made with that key
    STAGING_ENDLESS_AGENT      optional: an agent whose runs are ended by a NETRA_RUN_TIMEOUT of at most 20 seconds
    STAGING_FORM               what is started without a URL: `server`, or `cluster` (a proxy, two web processes, two
                               workers, Redis)

What cannot be checked without the optional ones is reported as skipped, with the name of the variable.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.clients import PASSWORD, SECRET_KEY, Account, signing_key
from tests.e2e.staging.people import Person

# What servers of the tests are started with, and must tell nobody.
MCP_SERVER = "fixture"
SECRETS = {"MCP_TOKEN": "the-token-of-an-mcp-server", "OPENAI_API_KEY": "sk-the-key-of-a-provider"}


class StagingIncomplete(Exception):
    """A variable is missing without which there is nothing to check."""

    def __init__(self, name: str) -> None:
        super().__init__(f"STAGING_BASE_URL is set, so {name} must be set, too")


class StagingUnreadable(Exception):
    """A variable has another form than it should."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StagingTestConfig:
    """A deployment. What is None cannot be checked there.

    `users` are those that it has for the checks; a server of the tests has none, and `make_users` makes new ones.
    `restart` ends all of its processes and starts them again. `secrets` are what it must tell nobody.
    """

    base_url: str
    users: tuple[Person, ...] = ()
    signing_key: str | None = None
    inactive_user_id: str | None = None
    endless_agent: str | None = None
    mcp_server: str | None = None
    secrets: tuple[str, ...] = ()
    make_users: Callable[[int], list[Person]] | None = None
    restart: Callable[[], None] | None = None

    def people(self, number: int) -> list[Person]:
        """As many users as there are, at most this number. On a server of the tests nobody has had them before."""
        return self.make_users(number) if self.make_users is not None else list(self.users[:number])

    def one_to_annoy(self) -> Person:
        """A user whom no check needs for a while."""
        return self.make_users(1)[0] if self.make_users is not None else self.users[-1]


def from_environment(environment: Mapping[str, str] = os.environ) -> StagingTestConfig | None:
    """None without a base URL. Raises StagingIncomplete and StagingUnreadable."""
    base_url = environment.get("STAGING_BASE_URL", "").rstrip("/")
    if not base_url:
        return None

    def required(name: str) -> str:
        if not environment.get(name):
            raise StagingIncomplete(name)
        return environment[name]

    named = [(required("STAGING_USERNAME"), required("STAGING_PASSWORD"))]
    if environment.get("STAGING_SECOND_USERNAME"):
        named.append((environment["STAGING_SECOND_USERNAME"], required("STAGING_SECOND_PASSWORD")))
    named += _pairs(environment.get("STAGING_USERS", ""))
    secret_key = environment.get("STAGING_SECRET_KEY")
    key = signing_key(secret_key) if secret_key else None
    return StagingTestConfig(
        base_url=base_url,
        users=tuple(Person(base_url, username, password) for username, password in named),
        signing_key=key,
        inactive_user_id=environment.get("STAGING_INACTIVE_USER_ID") or None,
        endless_agent=environment.get("STAGING_ENDLESS_AGENT") or None,
        secrets=tuple(filter(None, [secret_key, key, *(password for _, password in named)])),
    )


def _pairs(text: str) -> list[tuple[str, str]]:
    found = []
    for place, item in enumerate(filter(None, (item.strip() for item in text.split(","))), 1):
        username, colon, password = item.partition(":")
        if not (username and colon and password):
            raise StagingUnreadable(f"STAGING_USERS: the item {place} is not user:password")
        found.append((username, password))
    return found


def of_own_server(
    base_url: str, add_users: Callable[..., list[Account]], restart: Callable[[], None] | None
) -> StagingTestConfig:
    """A server that the tests have started with `tests.e2e.staging.own_servers`: everything can be checked.

    `add_users(number, is_active=…)` makes accounts in its database.
    """

    def person(account: Account) -> Person:
        return Person(base_url, account.username, account.password, make_token=account.token)

    return StagingTestConfig(
        base_url=base_url,
        signing_key=signing_key(),
        inactive_user_id=str(add_users(1, is_active=False)[0].id),
        endless_agent="endless",
        mcp_server=MCP_SERVER,
        secrets=(SECRET_KEY, signing_key(), PASSWORD, *SECRETS.values()),
        make_users=lambda number: [person(account) for account in add_users(number)],
        restart=restart,
    )
