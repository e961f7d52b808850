"""What pydantic-ai's own loop makes without any server: `python -m bench.bare_loop [--users 100] [--tokens 2000]`.

The same function model, asked by the library's own way to an agent's events: `run_stream_events`, one event after the
other, by so many tasks of one event loop of the kind that the server has.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time

import pydantic_ai
import uvloop
from pydantic_ai import Agent

from bench import cores, tokens
from bench.agents import INSTRUCTIONS, function_model
from bench.scenario import Figures
from tests.processes import REPOSITORY, on_cores

pydantic_ai.BANNER_ENABLED = False


async def measured(users: int, number: int) -> Figures:
    agent = Agent(function_model(), instructions=INSTRUCTIONS)

    async def ask() -> int:
        events = 0
        async with agent.run_stream_events(tokens.question(number)) as stream:
            async for _event in stream:
                events += 1
        return events

    began, cpu = time.perf_counter(), time.process_time()
    events = await asyncio.gather(*(ask() for _ in range(users)))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    assert min(events) >= number, events
    total = users * number
    return {
        "tokens_per_second": total / seconds,
        "cpu_cores": cpu / seconds,
        "cpu_seconds_per_100_000": cpu / total * 1e5,
    }


def figures(quick: bool) -> Figures:
    """In a process of its own, on the server's core."""
    users, number = (10, 200) if quick else (100, 2000)
    command = [sys.executable, "-m", "bench.bare_loop", "--users", str(users), "--tokens", str(number)]
    with on_cores(cores.SERVER):
        done = subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE)
    found: Figures = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.bare_loop")
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--tokens", type=int, default=2000)
    given = parser.parse_args()
    print(json.dumps(uvloop.run(measured(given.users, given.tokens))))


if __name__ == "__main__":
    main()
