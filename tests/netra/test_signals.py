"""A signal that ends a process is heard whatever its event loop has to do."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.processes import REPOSITORY

# The calls fill the pipe of asyncio's loop, which reads it only when this turn is over.
SIGNALLED = """
import asyncio, os, signal
import uvloop
from netra.signals import heed

async def main():
    heard = asyncio.Event()
    heed(heard.set)
    loop = asyncio.get_running_loop()
    for _ in range(5000):
        loop.call_soon_threadsafe(int)
    os.kill(os.getpid(), signal.{name})
    async with asyncio.timeout(20):
        await heard.wait()
    print("heard")

with asyncio.Runner(loop_factory={loop}.new_event_loop) as runner:
    runner.run(main())
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_is_heard_when_threads_have_filled_the_pipe_of_the_loop(loop: str, name: str) -> None:
    code = SIGNALLED.format(loop=loop, name=name)
    ended = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("heard\n", "")
