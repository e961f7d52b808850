"""The questions of the evaluation. What is right is not written here: it is computed from the history when asked."""

from __future__ import annotations

from tests.evals.questions.general import GENERAL
from tests.evals.questions.rights import RIGHTS_AND_LIMITS
from tests.evals.questions.saving import SAVING
from tests.evals.questions.triage import TRIAGE
from tests.evals.questions.usage import USAGE

QUESTIONS = [*USAGE, *RIGHTS_AND_LIMITS, *SAVING, *TRIAGE, *GENERAL]
