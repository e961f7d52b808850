"""What a failed model request is, in a word for the account, and in a sentence for the person who asked.

The sentences are ours: what a provider writes may echo keys and prompts, and goes to the log only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pydantic_ai import exceptions as failure

from agents.errors import ModelError

Category = Literal[
    "cancelled",
    "connect_timeout",
    "connection",
    "content_filter",
    "context_length",
    "authentication",
    "first_token_timeout",
    "not_found",
    "other",
    "output_length",
    "overloaded",
    "quota",
    "rate_limit",
    "rejected",
    "server_error",
    "silence_timeout",
    "timeout",
    "unavailable",
    "unusable_answer",
    "usage_limit",
]

# The first class that fits decides, so special cases stand before general ones.
_CATEGORIES: tuple[tuple[type[failure.AgentRunError], Category], ...] = (
    (failure.ModelRateLimitError, "rate_limit"),
    (failure.ModelQuotaExceededError, "quota"),
    (failure.ModelAuthenticationError, "authentication"),
    (failure.ModelNotFoundError, "not_found"),
    (failure.ModelContextWindowExceededError, "context_length"),
    (failure.ModelOverloadedError, "overloaded"),
    (failure.ModelUnavailableError, "unavailable"),
    (failure.ModelServerError, "server_error"),
    (failure.ModelTimeoutError, "timeout"),
    (failure.ModelRequestTimeout, "timeout"),
    (failure.ModelConnectionError, "connection"),
    (failure.ModelRequestRejectedError, "rejected"),
    (failure.ContentFilterError, "content_filter"),
    (failure.OutputTokenLimitExceeded, "output_length"),
    (failure.UsageLimitExceeded, "usage_limit"),
    (failure.UnexpectedModelBehavior, "unusable_answer"),
    (failure.ModelAPIError, "other"),
)
_BY_STATUS: dict[int, Category] = {
    401: "authentication",
    402: "quota",
    403: "authentication",
    404: "not_found",
    408: "timeout",
    429: "rate_limit",
    503: "unavailable",
}

# A sentence, and whether the same question may succeed later.
_SENTENCES: dict[Category, tuple[str, bool]] = {
    "rate_limit": ("The model provider is limiting requests; try again {when}.", True),
    "quota": ("The quota or credit at the model provider is used up.", False),
    "authentication": ("The model provider refused the API key{status}.", False),
    "not_found": ("The model provider does not know the model {model}{status}.", False),
    "context_length": ("The conversation is too long for the model {model}.", False),
    "overloaded": ("The model provider is overloaded; try again {when}.", True),
    "unavailable": ("The model provider is unavailable{status}; try again {when}.", True),
    "server_error": ("The model provider failed{status}; try again {when}.", True),
    "connect_timeout": ("The model provider could not be reached in time.", True),
    "first_token_timeout": ("The model provider did not begin to answer within {seconds:g} seconds.", True),
    "silence_timeout": ("The model provider fell silent for {seconds:g} seconds in the middle of its answer.", True),
    "timeout": ("The model provider did not answer in time.", True),
    "connection": ("The connection to the model provider failed.", True),
    "rejected": ("The model provider rejected the request{status}.", False),
    "content_filter": ("The model provider withheld the answer because of its content rules.", False),
    "output_length": ("The answer was longer than the model {model} may write.", False),
    "usage_limit": ("The agent reached no answer within its limit of model requests.", False),
    "unusable_answer": ("The model {model} answered with something that cannot be used.", True),
    "other": ("The request to the model provider failed.", True),
}
_SHORTEST_TOLD_WAIT = 2.0


class ModelFellSilent(failure.ModelTimeoutError):
    """Nothing came for too long after the answer had begun."""

    def __init__(self, model_name: str, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(model_name, f"nothing came for {seconds:g} seconds in the middle of the answer", phase="read")


class AllModelsFailed(failure.ModelAPIError):
    """Neither the model nor the one that stands in for it answered. `errors` has what each failed with, in order."""

    def __init__(self, errors: Sequence[Exception]) -> None:
        self.errors = tuple(errors)
        name = getattr(errors[0], "model_name", "")
        super().__init__(name, "all models failed: " + "; ".join(str(error) for error in errors))


def category(error: BaseException) -> Category:
    """What kind of failure this is. `cancelled` is what is none of the model's."""
    if isinstance(error, AllModelsFailed):
        return category(error.errors[0])
    if type(error) is failure.ModelHTTPError:
        # Its model's class names no category; its status does.
        return _BY_STATUS.get(error.status_code, "server_error" if error.status_code >= 500 else "rejected")
    if (timeout := _timeout(error)) is not None:
        return timeout
    for kind, name in _CATEGORIES:
        if isinstance(error, kind):
            return name
    return "other" if isinstance(error, Exception) else "cancelled"


def _timeout(error: BaseException) -> Category | None:
    """Which of our times ran out, if one did."""
    match error:
        case ModelFellSilent():
            return "silence_timeout"
        case failure.ModelRequestTimeout(setting="first_event_timeout"):
            return "first_token_timeout"
        case failure.ModelTimeoutError(phase="connect"):
            return "connect_timeout"
        case _:
            return None


def model_error(error: failure.AgentRunError, model_name: str, *, images: bool = False) -> ModelError | None:
    """The failure in words for the person; None when it is neither the model's nor its provider's.

    `images`: the model was sent some, which few providers refuse in words of their own.
    """
    if isinstance(error, AllModelsFailed):
        told = [_told(each, model_name) for each in error.errors]
        return ModelError(f"{told[0][0]} The fallback model failed, too.", retryable=any(retry for _, retry in told))
    if not isinstance(error, tuple(kind for kind, _ in _CATEGORIES)):
        return None
    sentence, retryable = _told(error, model_name)
    if images and category(error) in ("rejected", "not_found"):
        sentence += f" Images were sent to it: perhaps the model {model_name} reads none."
    return ModelError(sentence, retryable=retryable)


def _told(error: BaseException, model_name: str) -> tuple[str, bool]:
    sentence, retryable = _SENTENCES[category(error)]
    status = f" (HTTP {error.status_code})" if isinstance(error, failure.ModelHTTPError) else ""
    return sentence.format(model=model_name, status=status, when=_when(error), seconds=_seconds(error)), retryable


def _seconds(error: BaseException) -> float:
    match error:
        case ModelFellSilent():
            return error.seconds
        case failure.ModelRequestTimeout():
            return error.timeout
    return 0.0


def _when(error: BaseException) -> str:
    """When the provider asked to be asked again."""
    wait = error.retry_after if isinstance(error, failure.ModelAPIError) else None
    if wait is None or wait < _SHORTEST_TOLD_WAIT:
        return "in a moment"
    return f"in {math.ceil(wait)} seconds" if wait <= 120 else f"in {math.ceil(wait / 60)} minutes"
