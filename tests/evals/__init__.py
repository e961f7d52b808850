"""The evaluation: questions to the roster's agents, with exact checks. `python -m tests.evals` asks a real provider."""

from __future__ import annotations

import pytest

MODEL = pytest.StashKey[str]()
"""In pytest's configuration: the model that answers, when it is not the offline one."""
