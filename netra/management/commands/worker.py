"""`manage.py worker`: a worker alone, on any machine that reaches the database."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, cast

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser
from pydantic import ValidationError

from chat.apps import ChatConfig
from chat.jobs import RUN_QUEUE
from chat.models import ProcessKind
from chat.sweep import sweep
from netra import config, database, exposition, garbage, signals
from netra.worker import Engine

SETTINGS = {"concurrency": "worker_concurrency", "shutdown_seconds": "worker_shutdown_seconds"}


class Command(BaseCommand):
    help = (
        "Execute runs. SIGTERM gives running ones a grace period and hands the rest back; a second one ends the wait."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--concurrency", metavar="NUMBER", help="runs at the same time")
        parser.add_argument("--shutdown-seconds", metavar="SECONDS", help="grace period for running ones")
        parser.add_argument("--queue", action="append", dest="queues", help="take jobs of this queue only (repeatable)")

    def handle(self, *_args: Any, **options: Any) -> None:
        configuration = self._configuration(options)
        queues = options["queues"]
        if unknown := set(queues or ()) - {RUN_QUEUE}:
            raise CommandError(f"--queue: there is no queue {min(unknown)!r}; runs wait in {RUN_QUEUE!r}.")
        database.wait_until_ready(configuration)
        garbage.search_seldom()
        with _metrics_served(configuration.metrics_listen):
            asyncio.run(self._run(configuration, queues))

    def _configuration(self, options: dict[str, Any]) -> config.Config:
        """The settings of this process with the options for theirs. Raises CommandError, naming the option."""
        config.load()
        given = {setting: options[name] for name, setting in SETTINGS.items() if options[name] is not None}
        try:
            return config.Config(**given)
        except ValidationError as error:
            sentence = config.explain(error)
            for name, setting in SETTINGS.items():
                sentence = sentence.replace(config.variable(setting), f"--{name.replace('_', '-')}")
            raise CommandError(sentence) from None

    async def _run(self, configuration: config.Config, queues: list[str] | None) -> None:
        chat = cast("ChatConfig", apps.get_app_config("chat"))
        engine = Engine(configuration, sweep=sweep, queues=queues, database=chat.event_log.pool.reachability)
        signals.heed(engine.stop)
        chat.monitor.start(ProcessKind.WORKER)
        try:
            await engine.run()
        finally:
            await chat.close()


@contextlib.contextmanager
def _metrics_served(address: str | None) -> Iterator[None]:
    """Raises CommandError for an address that cannot be had."""
    if address is None:
        yield
        return
    try:
        end = exposition.listen(address)
    except OSError as error:
        raise CommandError(f"NETRA_METRICS_LISTEN: {address} cannot be had ({error.strerror}).") from None
    try:
        yield
    finally:
        end()
