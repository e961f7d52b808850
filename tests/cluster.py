"""Netra on several processes, wired as docker-compose.yml wires it, without Docker: for tests, measurements and demos.

    with Cluster(folder, web=2, workers=2) as cluster:
        ...cluster.url is the proxy's, cluster.web[0].url that of one web process

`make cluster WEB=2 WORKERS=2` is `python -m tests.cluster`: it starts what dies again, as a restart policy does.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from netra.config import load
from netra.postgres import EmbeddedPostgres
from tests import deployment
from tests.clients import Account, add_users
from tests.live import LiveServer, LiveWorker, NetraProcess
from tests.prepared import is_prepared
from tests.processes import HOST, LiveProcess, LiveRedis, accepts, free_port

RESTART_SECONDS = 0.5
_LINK = """\
global
    nbthread 1
defaults
    mode tcp
    timeout connect 3s
    timeout client 1h
    timeout server 1h
listen link
    bind {host}:{port}
    server service {address}
"""


class HAProxy(LiveProcess):
    """haproxy in the foreground, with a file of its own."""

    def __init__(self, name: str, folder: Path, *, port: int, configuration: str) -> None:
        self.port = port
        self._file = folder / f"{name}.cfg"
        self._file.write_text(configuration)
        super().__init__(name, folder / f"{name}.log")

    def _command(self) -> list[str]:
        return [deployment.haproxy(), "-db", "-f", str(self._file)]

    def _environment(self) -> dict[str, str]:
        return super()._environment() | {"BIND_ADDRESS": HOST, "HTTP_PORT": str(self.port)}

    def _is_ready(self) -> bool:
        return accepts(self.port)


class Link(HAProxy):
    """The network between one process and one service. Killed, it is cut; paused, it swallows what is sent."""

    def __init__(self, name: str, folder: Path, address: str) -> None:
        port = free_port()
        super().__init__(name, folder, port=port, configuration=_LINK.format(host=HOST, port=port, address=address))


class Cluster:
    """PostgreSQL, Redis, a proxy, `web` web processes and `workers` workers.

    `servers` are the ASGI servers, in turn. With `links` each process reaches PostgreSQL and Redis through links of
    its own. Further arguments are settings by their names in `netra.config.Config`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        web: int = 2,
        workers: int = 2,
        port: int | None = None,
        servers: Sequence[str] = ("daphne", "uvicorn"),
        links: bool = False,
        environment: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        self.folder = folder
        self.postgres = EmbeddedPostgres(folder)
        self.redis = LiveRedis(folder / "redis.log")
        self.links: list[Link] = []
        self._with_links = links
        settings["worker"] = "external"
        self.web = [
            LiveServer(
                folder,
                name=f"web-{number}",
                options=["--no-migrate"],
                asgi_server=servers[number % len(servers)],
                **self._services(f"web-{number}"),
                **settings,
            )
            for number in range(web)
        ]
        self.workers = [
            LiveWorker(f"worker-{number}", folder, **self._services(f"worker-{number}"), **settings)
            for number in range(workers)
        ]
        for process in self.netra:
            process.inherited = environment
        ports = {server.name: server.port for server in self.web}
        self.proxy = HAProxy(
            "proxy", folder, port=port or free_port(), configuration=deployment.proxy_configuration(ports)
        )
        self.url = f"http://{HOST}:{self.proxy.port}"

    def _services(self, name: str) -> dict[str, Any]:
        """Where a process finds PostgreSQL and Redis."""
        if not self._with_links:
            return {"database_url": self.postgres.dsn, "redis_url": self.redis.url}
        of = self.postgres.connection_params
        database = Link(f"{name}-postgres", self.folder, f"unix@{of['host']}/.s.PGSQL.{of['port']}")
        redis = Link(f"{name}-redis", self.folder, f"{HOST}:{self.redis.port}")
        self.links += [database, redis]
        return {
            "database_url": f"postgresql://{of['user']}@{HOST}:{database.port}/{of['dbname']}",
            "redis_url": f"redis://{HOST}:{redis.port}/0",
        }

    @property
    def netra(self) -> list[NetraProcess]:
        return [*self.web, *self.workers]

    @property
    def processes(self) -> list[LiveProcess]:
        """All but PostgreSQL, in the order in which they start."""
        return [self.redis, *self.links, *self.netra, self.proxy]

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        self.postgres.acquire()
        for process in (self.redis, *self.links):
            process.start()
        if not is_prepared(self.folder):
            self.web[0].manage("migrate", "--verbosity", "0")
        # The first makes the demo user; the others start side by side.
        self.web[0].start()
        others = [process for process in self.netra if process is not self.web[0]]
        for process in others:
            process.launch()
        for process in others:
            process.wait_until_ready()
        self.proxy.start()

    def stop(self) -> None:
        running = [process for process in reversed(self.processes) if process.is_launched]
        for process in running:
            process.go_on()
        for process in running:
            if process in self.netra:
                process.process.terminate()
        for process in running:
            if process in self.netra and process.is_launched:
                process.wait()
        for process in running:
            if process not in self.netra:
                process.kill()
        self.postgres.release()

    def database(self) -> psycopg.Connection[Any]:
        """A connection of the test's own, by no link."""
        return psycopg.connect(self.postgres.dsn, autocommit=True)

    def add_users(self, number: int, name: str = "user") -> list[Account]:
        with self.database() as connection:
            return add_users(connection, number, name)


# make cluster -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _signals() -> Iterator[threading.Event]:
    wanted = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: wanted.set())
    yield wanted


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--web", type=int, default=2, help="web processes")
    parser.add_argument("--workers", type=int, default=2, help="worker processes")
    parser.add_argument("--port", type=int, default=8000, help="the proxy's port")
    parser.add_argument("--data-dir", type=Path, default=load().data_dir, help="where database and logs live")
    arguments = parser.parse_args()
    folder = arguments.data_dir.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    server = os.environ.get("ASGI_SERVER")
    with _signals() as ended:
        cluster = Cluster(
            folder,
            web=arguments.web,
            workers=arguments.workers,
            port=arguments.port,
            servers=[server] if server else ("daphne", "uvicorn"),
            environment=os.environ,
            secret_key="",
            offline_tokens_per_second=os.environ.get("NETRA_OFFLINE_TOKENS_PER_SECOND", ""),
        )
        with cluster:
            _announce(cluster)
            while not ended.wait(RESTART_SECONDS):
                for process in cluster.processes:
                    if not process.is_alive:
                        print(f"{process.name} ended with status {process.wait()}: it is started again.", flush=True)
                        process.launch()
            print("Ending ...", flush=True)


def _announce(cluster: Cluster) -> None:
    print(f"Netra is open at {cluster.url}/ (proxy)")
    for process in cluster.netra:
        where = f", {process.url}/" if isinstance(process, LiveServer) else ""
        print(f"  {process.name}: process {process.process.pid}{where}, log {process.log_file}")
    if found := re.search(r"Sign in as .*", cluster.web[0].log_since_launch()):
        print(found[0])
    print("Ctrl-C ends it.")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
