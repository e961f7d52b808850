"""`manage.py worker`: a worker alone, on any machine that reaches the database."""

from __future__ import annotations

import asyncio
import signal
from typing import Any, cast

from django.apps import apps
from django.core.management.base import BaseCommand, CommandParser

from chat.apps import ChatConfig
from chat.tasks import sweep
from netra import config, database
from netra.worker import Engine


class Command(BaseCommand):
    help = "Execute runs. SIGTERM gives running ones a grace period and hands the rest back."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--concurrency", type=int, help="runs at the same time")
        parser.add_argument("--shutdown-seconds", type=float, help="grace period for running ones")
        parser.add_argument("--queue", action="append", dest="queues", help="take jobs of this queue only (repeatable)")

    def handle(self, *_args: Any, **options: Any) -> None:
        configuration = config.load()
        changes = {
            f"worker_{name}": options[name] for name in ("concurrency", "shutdown_seconds") if options[name] is not None
        }
        database.wait_until_ready(configuration)
        asyncio.run(self._run(configuration.model_copy(update=changes), options["queues"]))

    async def _run(self, configuration: config.Config, queues: list[str] | None) -> None:
        engine = Engine(configuration, sweep=sweep, queues=queues)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, engine.stop)
        try:
            await engine.run()
        finally:
            await cast("ChatConfig", apps.get_app_config("chat")).event_log.pool.close()
