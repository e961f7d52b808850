"""The errors of this package.

AgentsError
├── UnknownAgent        no agent has this name
├── ModelUnusable       NETRA_MODEL cannot be used; raised at start-up, one sentence
├── AgentsUnusable      the agents cannot be what configuration says; raised at start-up, one sentence
├── ModelError          a model request failed; the run ends with MODEL_ERROR
│   └── AllowanceUsed   the person may ask models no more today; the run ends with ALLOWANCE_USED
├── RunTaken            the run is not this worker's any more
└── ToolError           a tool cannot do what it was asked; the model and the person read the text

The text of each is for a person and holds no secret.
"""

from __future__ import annotations

from collections.abc import Sequence


class AgentsError(Exception):
    """The base of every error of this package."""


class UnknownAgent(AgentsError):
    """No agent has this name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name = name
        self.known = tuple(known)
        super().__init__(f"There is no agent named {name!r}. Agents: {', '.join(known) or 'none'}.")


class ModelUnusable(AgentsError):
    """The configured model cannot be used. The text is one sentence that names NETRA_MODEL."""


class AgentsUnusable(AgentsError):
    """The agents cannot be what configuration says. The text is one sentence that names the variable."""


class ModelError(AgentsError):
    """A request to the model failed. `retryable` says whether the same question may succeed later."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        self.retryable = retryable
        super().__init__(message)


class AllowanceUsed(ModelError):
    """The person has used up what models may cost them: no further request is made."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=True)


class RunTaken(AgentsError):
    """The run was taken from this worker: nothing more of it may begin here, and nothing it yields counts."""


class ToolError(AgentsError):
    """A tool cannot do what it was asked, and says why."""
