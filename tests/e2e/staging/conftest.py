from __future__ import annotations

import asyncio
import datetime
import os
from collections.abc import Iterator

import pytest

from tests.e2e import staging_test_config
from tests.e2e.conftest import new_data_dir
from tests.e2e.staging.own_servers import own_cluster, own_server
from tests.e2e.staging.people import Person
from tests.e2e.staging_test_config import StagingIncomplete, StagingTestConfig, StagingUnreadable

FORMS = {"server": own_server, "cluster": own_cluster}
# More than any check sends of one user, but for the one that sends too many.
MESSAGES_OF_A_CHECK = 16


@pytest.fixture(scope="session")
def staging() -> Iterator[StagingTestConfig]:
    """The deployment that the environment names, or a server started for the session."""
    config = _named_deployment()
    if config is not None:
        yield config
        return
    start = FORMS[os.environ.get("STAGING_FORM") or "server"]
    for data_dir in new_data_dir():
        with start(data_dir) as config:
            yield config


def _named_deployment() -> StagingTestConfig | None:
    """Ends the session in one sentence where nothing can be checked."""
    try:
        config = staging_test_config.from_environment()
        for person in config.users if config is not None else ():
            person.token()
    except (StagingIncomplete, StagingUnreadable, AssertionError) as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)
    except OSError as error:
        url = os.environ["STAGING_BASE_URL"]
        pytest.exit(
            f"{url} does not answer ({error}): `python manage.py probe {url}` finds out why",
            returncode=pytest.ExitCode.USAGE_ERROR,
        )
    return config


@pytest.fixture
async def people(staging: StagingTestConfig) -> list[Person]:
    """Two users of a check's own; of a deployment its users, once they may send as many messages as a check does."""
    for person in staging.users:
        await _wait_for_room(person)
    return staging.people(2)


async def _wait_for_room(person: Person) -> None:
    """By the server's clock, and before a check's time begins. What was refused is not known here: it is little."""
    while True:
        async with person.connect() as client:
            limit = client.established["limits"]["user_messages_per_minute"]
            clock = datetime.datetime.fromisoformat(client.established["server_time"])
        runs = person.get("/api/runs?limit=200")["runs"]
        ages = [(clock - datetime.datetime.fromisoformat(run["created_at"])).total_seconds() for run in runs]
        recent = [60 - age for age in ages if age < 60]
        if len(recent) <= max(0, limit - MESSAGES_OF_A_CHECK):
            return
        await asyncio.sleep(max(0.1, min(recent)))
