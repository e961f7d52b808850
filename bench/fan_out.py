"""One run, and more and more connections of the person whose run it is: what each of them costs, and how late it is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bench import tokens
from bench.asking import Refused
from bench.connect import close, open_many
from bench.forms import Netra
from bench.load import Client
from bench.peers.limit import Bare
from bench.peers.tutorial.subject import Tutorial
from bench.scenario import Figure, Figures, Scenario, Target, quantile
from bench.subjects import Hear, Kind, Subject, cpu_seconds
from netra.config import SERVERS

CONNECTIONS = (1, 10, 100, 1000)
QUICK_CONNECTIONS = (1, 10, 100)
TOKENS_PER_SECOND = 50
TOKENS, QUICK_TOKENS = 500, 100
# Of so many connections each token is timed; of the others frames are counted.
TIMED = 50
ANSWER_SECONDS = 300.0


def subjects() -> Sequence[Subject]:
    return [subject for server in SERVERS for subject in (Netra("cluster", server), Tutorial(server), Bare(server))]


async def measure(subject: Subject, quick: bool) -> Figures:
    subject.add_users(1)
    figures: dict[str, float | None] = {}
    alone = 0.0
    for number in QUICK_CONNECTIONS if quick else CONNECTIONS:
        answer = await Answer.watched(subject, number, QUICK_TOKENS if quick else TOKENS)
        if number == 1:
            alone = answer.cpu / answer.frames
            figures["cpu_us_1"] = alone * 1e6
        else:
            # What one connection more costs: without what the run costs by itself.
            figures[f"cpu_us_{number}"] = (answer.cpu / answer.frames - alone) / (number - 1) * 1e6
        figures[f"p99_ms_{number}"] = quantile(answer.lags, 0.99)
    return {name: figures.get(name) for name in names()}


def names() -> list[str]:
    return [f"{kind}_{number}" for kind in ("cpu_us", "p99_ms") for number in CONNECTIONS]


class Answer:
    """An answer on its way to connections of one person."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._ended = asyncio.Event()
        self._open = 0
        self._refused: bytes | None = None
        self.frames = 0
        self.cpu = 0.0
        self.lags: list[float] = []
        self._timed: list[list[tuple[bytes, int]]] = []
        self._counts: list[int] = []

    @classmethod
    async def watched(cls, subject: Subject, connections: int, number: int) -> Answer:
        answer = cls(subject)
        clients = await answer._open_all(connections)
        cpu = cpu_seconds(subject)
        subject.ask(clients[0], tokens.question(number, TOKENS_PER_SECOND))
        async with asyncio.timeout(ANSWER_SECONDS):
            await answer._ended.wait()
        if answer._refused is not None:
            raise Refused(answer._refused.decode())
        answer.cpu = cpu_seconds(subject) - cpu
        close(clients)
        answer._look(number)
        return answer

    async def _open_all(self, connections: int) -> list[Client]:
        clients = [client for client, _ in await open_many(self._subject, [0] * connections, self._hearing)]
        self._open = len(clients)
        return clients

    def _hearing(self) -> Hear:
        index = len(self._counts)
        self._counts.append(0)
        timed: list[tuple[bytes, int]] = []
        if index < TIMED:
            self._timed.append(timed)

        def hear(kind: Kind, payload: bytes, arrived: int) -> None:
            if kind is Kind.TEXT:
                self._counts[index] += 1
                if index < TIMED:
                    timed.append((payload, arrived))
            elif kind is Kind.REFUSED:
                self._refused = payload
                self._ended.set()
            elif kind is Kind.ENDED:
                self._open -= 1
                if not self._open:
                    self._ended.set()

        return hear

    def _look(self, number: int) -> None:
        """That every connection got the whole answer, and how late."""
        for frames in self._timed:
            texts = [(self._subject.text_of(payload), arrived) for payload, arrived in frames]
            tokens.assert_whole("".join(text for text, _ in texts), number)
            for text, arrived in texts:
                self.lags += tokens.lags_ms(text, arrived)
        assert len(set(self._counts)) == 1, f"connections got {set(self._counts)} frames"
        self.frames = self._counts[0]


SCENARIOS = [
    Scenario(
        name="fan_out",
        text=f"One run of {TOKENS:,} tokens, {TOKENS_PER_SECOND} a second, to 1 … {CONNECTIONS[-1]:,} connections of "
        "its person. CPU is per frame: with one connection that of the whole, with more what each one adds. Lag is "
        "from a token's time to its arrival.",
        figures=(
            *(Figure(f"cpu_us_{number}", f"CPU, {number:,}", "µs") for number in CONNECTIONS),
            *(Figure(f"p99_ms_{number}", f"p99, {number:,}", "ms", 1) for number in CONNECTIONS),
        ),
        subjects=subjects,
        measure=measure,
        targets=[Target("p99_ms_1000", f"netra, cluster, {server}", 100, "at most") for server in SERVERS],
    )
]
