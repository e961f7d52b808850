"""The state machine of `test_delivery_model` can fail: it fails for each of these faults in chat/delivery.py."""

from __future__ import annotations

import types
from collections import Counter
from typing import ClassVar

import pytest
from hypothesis import Phase

from tests.test_delivery_model import SOURCE, DeliveryMachine, load_delivery, run_machine

MUTATIONS = {
    "off by one in the gap test": ("frame.seq != run.sent + 1 or", "frame.seq > run.sent + 2 or"),
    "a gap is forgotten": ("self._behind.setdefault(run.run_id)", "pass"),
    "a run is not followed": (
        "if taken_up := position.run_number > self._begun:\n                self",
        "if taken_up := False:\n                self",
    ),
    "a duplicate is sent": (
        "if frame.seq <= run.sent:\n                continue\n            if frame.seq != run.sent + 1 or",
        "if frame.seq > run.sent + 1 or",
    ),
    "the order of run numbers is lost": (" or (self._unannounced and not self._is_its_turn(run))", ""),
    "a pruned end is not noticed": ("(not frames or frames[0].seq != run.sent + 1)", "frames"),
    "a resume rewinds after an ack": ("(run.acked or cursor is None)", "cursor is None"),
    "the window has no end": ("return self._window.outstanding >= self._window.size", "return False"),
    "an ack releases too much": ("mark.frames <= received or", "mark.frames <= received + 1 or"),
    "a forged ack counts": ("if run is not None and 0 < seq <= run.high:", "if run is not None:"),
    "ended runs are kept": ("if self._runs.get(run.run_id) is run:", "if False:"),
}


@pytest.mark.parametrize(("sound", "faulty"), MUTATIONS.values(), ids=MUTATIONS.keys())
def test_the_state_machine_fails_when(sound: str, faulty: str) -> None:
    assert SOURCE.count(sound) == 1

    class Mutated(DeliveryMachine):
        module: ClassVar[types.ModuleType] = load_delivery(SOURCE.replace(sound, faulty))
        reached: ClassVar[Counter[str]] = Counter()

    with pytest.raises(Exception):  # noqa: B017, PT011 - an assertion, a ProtocolViolation, or several of them
        run_machine(Mutated, max_examples=2000, derandomize=True, phases=[Phase.generate], report_multiple_bugs=False)
