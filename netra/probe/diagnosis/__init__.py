"""From what was observed to why: pure functions, tested by plain calls. No I/O.

Each of them takes the `Case`, all that was seen up to the failed stage, and gives its `Diagnosis`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from netra.probe.diagnosis import answers, credentials, network, runs, services, sockets
from netra.probe.observation import Case, Diagnosis, Symptom

BY_SYMPTOM: Mapping[Symptom, Callable[[Case], Diagnosis]] = {
    Symptom.UNRESOLVED: network.unresolved,
    Symptom.UNREACHED: network.unreached,
    Symptom.TLS_FAILED: network.tls_failed,
    Symptom.NO_HTTP: answers.no_http,
    Symptom.TIMED_OUT: answers.timed_out,
    Symptom.STATUS: answers.status,
    Symptom.NOT_NETRA: answers.not_netra,
    Symptom.NOT_READY: services.not_ready,
    Symptom.NOT_A_TOKEN: credentials.not_a_token,
    Symptom.NO_SIGN_IN: credentials.no_sign_in,
    Symptom.NOT_UPGRADED: sockets.not_upgraded,
    Symptom.SILENT: sockets.silent,
    Symptom.CLOSED: sockets.closed,
    Symptom.REFUSED: credentials.refused,
    Symptom.LET_IN: sockets.let_in,
    Symptom.NOT_PROTOCOL: sockets.not_protocol,
    Symptom.LATE: sockets.late,
    Symptom.CLOSE_CODE: sockets.close_code,
    Symptom.NOT_STARTED: runs.not_started,
    Symptom.NOT_ENDED: runs.not_ended,
    Symptom.RUN_FAILED: runs.run_failed,
    Symptom.NO_TOOL: runs.no_tool,
    Symptom.WRONG_ORDER: runs.wrong_order,
    Symptom.NOT_WHOLE: runs.not_whole,
}


def diagnose(case: Case) -> Diagnosis:
    """Why the stage of the case failed, which must have a symptom."""
    symptom = case.observation.symptom
    assert symptom is not None, case.stage  # noqa: S101 - a stage without a symptom has not failed
    return BY_SYMPTOM[symptom](case)
