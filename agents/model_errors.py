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
    (failure.ModelUnavailableError, "The model provider is unavailable{status}; try again soon.", True),
    (failure.ModelServerError, "The model provider failed{status}; try again in a moment.", True),
    (failure.ModelTimeoutError, "The model provider did not answer in time.", True),
    (failure.ModelRequestTimeout, "The model provider did not answer in time.", True),
    (failure.ModelConnectionError, "The connection to the model provider failed.", True),
    (failure.ModelRequestRejectedError, "The model provider rejected the request{status}.", False),
    (failure.ContentFilterError, "The model provider withheld the answer by its content rules.", False),
    (failure.OutputTokenLimitExceeded, "The answer was longer than the model {model} may write.", False),
    (failure.UsageLimitExceeded, "The agent reached no answer within its limit of model requests.", False),
    (failure.UnexpectedModelBehavior, "The model {model} answered with something that cannot be used.", True),
    (failure.ModelHTTPError, "The model provider refused the request{status}.", False),
    (failure.ModelAPIError, "The request to the model provider failed.", True),
)


def model_error(error: failure.AgentRunError, model_name: str) -> ModelError | None:
    """The failure in words for the person; None when it is not the model's or its provider's."""
    status = getattr(error, "status_code", None)
    for kind, sentence, retryable in _SENTENCES:
        if isinstance(error, kind):
            text = sentence.format(model=model_name, status=f" (HTTP {status})" if status else "")
            return ModelError(text, retryable=retryable)
    return None
