from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e import staging_test_config
from tests.e2e.conftest import new_data_dir
from tests.e2e.staging_test_config import StagingTestConfig
from tests.live import LiveServer


@pytest.fixture(scope="session")
def staging() -> Iterator[StagingTestConfig]:
    """The deployment that the environment names, or a server started for the session."""
    config = staging_test_config.from_environment()
    if config is not None:
        yield config
        return
    for data_dir in new_data_dir():
        with LiveServer(data_dir) as server:
            yield staging_test_config.of_server(server)
            assert not server.traceback(), server.traceback()
