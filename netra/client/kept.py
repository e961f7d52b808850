"""What a lasting client keeps of the runs that it has followed. No I/O."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

from chat.fold import ENDED, ClientState

Frame = dict[str, Any]
KEPT_ENDED_RUNS = 50


class KeptEvents:
    """The events of each run in `state`, from its first one on. Of runs that have ended, only the last few stay there.

    What is held stays, however many others end.
    """

    def __init__(self, state: ClientState) -> None:
        self._state = state
        self._events: dict[str, list[Frame]] = {}
        self._held: Counter[str] = Counter()

    def events(self, run_id: str) -> list[Frame]:
        """It grows; another one, once the run was lost."""
        return self._events.setdefault(run_id, [])

    @contextlib.contextmanager
    def held(self, run_id: str) -> Iterator[None]:
        self._held[run_id] += 1
        try:
            yield
        finally:
            self._held[run_id] -= 1
            if not self._held[run_id]:
                del self._held[run_id]

    def keep(self, frame: Frame) -> None:
        """A frame that was folded into `state`."""
        if "seq" in frame and "run_id" in frame:
            events, run = self.events(frame["run_id"]), self._state.runs.get(frame["run_id"])
            if run is not None and frame["seq"] == len(events) + 1:
                events.append(frame)
        for run_id in self._events.keys() - self._state.runs.keys():
            del self._events[run_id]
        ended = [run_id for run_id, run in self._state.runs.items() if run["status"] in ENDED]
        for run_id in ended[: max(0, len(ended) - KEPT_ENDED_RUNS)]:
            if run_id not in self._held:
                del self._state.runs[run_id]
                self._events.pop(run_id, None)
