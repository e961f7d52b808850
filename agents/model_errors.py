"""What a failed model request means to the person who asked.

The sentences are ours: what a provider writes may echo keys and prompts, and goes to the log only.
"""

from __future__ import annotations

from pydantic_ai import exceptions as failure

from agents.errors import ModelError

# The first class that fits decides, so special cases stand before general ones.
_SENTENCES: tuple[tuple[type[failure.AgentRunError], str, bool], ...] = (
    (failure.ModelRateLimitError, "The model provider is limiting requests; try again in a moment.", True),
    (failure.ModelQuotaExceededError, "The quota or credit at the model provider is used up.", False),
    (failure.ModelAuthenticationError, "The model provider refused the API key{status}.", False),
    (failure.ModelNotFoundError, "The model provider does not know the model {model}{status}.", False),
    (failure.ModelContextWindowExceededError, "The conversation is too long for the model {model}.", False),
    (failure.ModelOverloadedError, "The model provider is overloaded; try again in a moment.", True),
    (failure.ModelUnavailableError, "The model provider is unavailable{status}; try again in a moment.", True),
    (failure.ModelServerError, "The model provider failed{status}; try again in a moment.", True),
    (failure.ModelTimeoutError, "The model provider did not answer in time.", True),
    (failure.ModelRequestTimeout, "The model provider did not answer in time.", True),
    (failure.ModelConnectionError, "The connection to the model provider failed.", True),
    (failure.ModelRequestRejectedError, "The model provider rejected the request{status}.", False),
    (failure.ContentFilterError, "The model provider withheld the answer because of its content rules.", False),
    (failure.OutputTokenLimitExceeded, "The answer was longer than the model {model} may write.", False),
    (failure.UsageLimitExceeded, "The agent reached no answer within its limit of model requests.", False),
    (failure.UnexpectedModelBehavior, "The model {model} answered with something that cannot be used.", True),
    (failure.ModelAPIError, "The request to the model provider failed.", True),
)
_BY_STATUS: dict[int, type[failure.AgentRunError]] = {
    401: failure.ModelAuthenticationError,
    402: failure.ModelQuotaExceededError,
    403: failure.ModelAuthenticationError,
    404: failure.ModelNotFoundError,
    408: failure.ModelTimeoutError,
    429: failure.ModelRateLimitError,
    503: failure.ModelUnavailableError,
}


def model_error(error: failure.AgentRunError, model_name: str) -> ModelError | None:
    """The failure in words for the person; None when it is neither the model's nor its provider's."""
    kind = _category(error)
    for category, sentence, retryable in _SENTENCES:
        if issubclass(kind, category):
            status = f" (HTTP {error.status_code})" if isinstance(error, failure.ModelHTTPError) else ""
            return ModelError(sentence.format(model=model_name, status=status), retryable=retryable)
    return None


def _category(error: failure.AgentRunError) -> type[failure.AgentRunError]:
    """The error's class; for an HTTP error whose model class names no category, the one its status means."""
    if type(error) is not failure.ModelHTTPError:
        return type(error)
    general = failure.ModelServerError if error.status_code >= 500 else failure.ModelRequestRejectedError
    return _BY_STATUS.get(error.status_code, general)
