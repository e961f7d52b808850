"""`make chaos MINUTES=20`: faults at random moments on a cluster under load, and a verdict."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
import sys
import tempfile
from pathlib import Path

from django.conf import settings

from tests.chaos.driver import Outcome, restart_in_turn, unleash


async def act(arguments: argparse.Namespace, folder: Path) -> Outcome:
    if arguments.rolling:
        return await restart_in_turn(
            folder,
            seed=arguments.seed,
            clients=arguments.clients,
            rounds=max(1, round(arguments.minutes)),
            between_messages=arguments.between_messages,
        )
    return await unleash(
        folder,
        seconds=arguments.minutes * 60,
        seed=arguments.seed,
        clients=arguments.clients,
        web=arguments.web,
        workers=arguments.workers,
        between_faults=arguments.between_faults,
        between_messages=arguments.between_messages,
        pages=arguments.pages,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3, help="how long faults strike; rounds of --rolling")
    parser.add_argument("--seed", default=secrets.token_hex(4), help="what strikes whom, and what clients do")
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--pages", type=int, default=0, help="pages in Chromium, two of them one person's")
    parser.add_argument("--web", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--between-faults", type=float, default=6, help="seconds, on average")
    parser.add_argument("--between-messages", type=float, default=25, help="seconds, of one client on average")
    parser.add_argument("--rolling", action="store_true", help="only restart everything in turn")
    parser.add_argument("--folder", type=Path, help="where database and logs stay (default: a temporary folder)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended
    settings.configure()  # to hash passwords: nothing else of Django is used here
    print(f"seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="netra-chaos-", ignore_cleanup_errors=True) as temporary:
        folder = (arguments.folder or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        outcome = asyncio.run(act(arguments, folder))
    print(outcome.report())
    sys.exit(0 if outcome.is_clean else 1)


if __name__ == "__main__":
    main()
