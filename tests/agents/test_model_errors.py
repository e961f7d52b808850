from __future__ import annotations

import pytest
from pydantic_ai import exceptions as failure

from agents.models.errors import model_error

KEY = "sk-live-1234567890"


def http(status: int, category: type[failure.ModelAPIError] | None = None) -> failure.ModelHTTPError:
    return failure.ModelHTTPError.for_category(
        category,  # type: ignore[arg-type]
        status_code=status,
        model_name="m",
        body={"error": {"message": f"Incorrect API key provided: {KEY}"}},
    )


def api(kind: type[failure.ModelAPIError]) -> failure.ModelAPIError:
    return kind("m", f"failed with {KEY}")


CASES: list[tuple[failure.AgentRunError, str, bool]] = [
    (http(429), "The model provider is limiting requests; try again in a moment.", True),
    (http(429, failure.ModelRateLimitError), "The model provider is limiting requests; try again in a moment.", True),
    (http(429, failure.ModelQuotaExceededError), "The quota or credit at the model provider is used up.", False),
    (http(402), "The quota or credit at the model provider is used up.", False),
    (http(401), "The model provider refused the API key (HTTP 401).", False),
    (http(401, failure.ModelAuthenticationError), "The model provider refused the API key (HTTP 401).", False),
    (http(403), "The model provider refused the API key (HTTP 403).", False),
    (http(404), "The model provider does not know the model openai:x (HTTP 404).", False),
    (http(404, failure.ModelNotFoundError), "The model provider does not know the model openai:x (HTTP 404).", False),
    (http(400), "The model provider rejected the request (HTTP 400).", False),
    (http(422, failure.ModelRequestRejectedError), "The model provider rejected the request (HTTP 422).", False),
    (
        http(400, failure.ModelContextWindowExceededError),
        "The conversation is too long for the model openai:x.",
        False,
    ),
    (http(408), "The model provider did not answer in time.", True),
    (http(500), "The model provider failed (HTTP 500); try again in a moment.", True),
    (http(502, failure.ModelServerError), "The model provider failed (HTTP 502); try again in a moment.", True),
    (http(503), "The model provider is unavailable (HTTP 503); try again in a moment.", True),
    (http(529, failure.ModelOverloadedError), "The model provider is overloaded; try again in a moment.", True),
    (api(failure.ModelConnectionError), "The connection to the model provider failed.", True),
    (api(failure.ModelTimeoutError), "The model provider did not answer in time.", True),
    (failure.ModelRequestTimeout("m", 3), "The model provider did not answer in time.", True),
    (api(failure.ModelAPIError), "The request to the model provider failed.", True),
    (failure.ContentFilterError("no"), "The model provider withheld the answer because of its content rules.", False),
    (failure.IncompleteToolCall("cut"), "The answer was longer than the model openai:x may write.", False),
    (failure.UnexpectedModelBehavior(KEY), "The model openai:x answered with something that cannot be used.", True),
    (
        failure.UsageLimitExceeded("50 requests"),
        "The agent reached no answer within its limit of model requests.",
        False,
    ),
]


@pytest.mark.parametrize(("error", "message", "retryable"), CASES)
def test_failures_in_words_for_a_person(error: failure.AgentRunError, message: str, retryable: bool) -> None:
    told = model_error(error, "openai:x")
    assert told is not None
    assert (str(told), told.retryable) == (message, retryable)
    assert KEY not in str(told)


def test_what_is_not_the_models_failure_is_not_told_as_one() -> None:
    assert model_error(failure.AgentRunError("our own mistake"), "openai:x") is None
