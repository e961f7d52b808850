"""Structured logs: JSON outside development, readable lines in it. Ids are bound once and appear on each line."""

from __future__ import annotations

import logging
import logging.config
import uuid
from http import HTTPStatus

import structlog
from django.http import HttpRequest, HttpResponse
from django.utils.log import log_response

from chat.async_middleware import AsyncMiddleware

QUIET = (
    "daphne",
    "twisted",
    "httpx",
    "httpx2",
    "openai",
    "procrastinate",
    "asyncio",
    "urllib3",
    "django.channels.server",
)


class ToldElsewhere(logging.Filter):
    """Leaves out answers with 503: who finds a service missing says so once, and health checks ask every second."""

    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(record, "status_code", None) != HTTPStatus.SERVICE_UNAVAILABLE


class WithoutTraceback(logging.Filter):
    """The line says it all: a request for a host that is not served is nobody's fault here."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = record.exc_text = None
        return True


def configure_logging(*, human: bool, level: str = "INFO") -> None:
    """Route the standard library's loggers and structlog's through one formatter to standard error."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: list[structlog.types.Processor] = (
        [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)]
        if human
        else [
            # Without local variables, which hold what people send: passwords, tokens, messages.
            structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(default=str),
        ]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "structured": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": shared,
                    "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
                }
            },
            "filters": {"told_elsewhere": {"()": ToldElsewhere}, "without_traceback": {"()": WithoutTraceback}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
            "root": {"handlers": ["stderr"], "level": level},
            "loggers": {
                **{name: {"level": "WARNING"} for name in QUIET},
                # What is refused is logged where it is refused, with its code.
                "django.request": {"level": "ERROR", "filters": ["told_elsewhere"]},
                "django.security.DisallowedHost": {"filters": ["without_traceback"]},
                # What is away is logged once, by who waits for it, and not at each attempt.
                "psycopg.pool": {"level": "ERROR"},
                "channels_redis": {"level": "CRITICAL"},
                # It logs what servers say with a traceback for each line; who holds the session says what it means.
                "mcp": {"level": "CRITICAL"},
            },
        }
    )


def new_correlation_id() -> str:
    """An id that appears in one answer and in the log lines that explain it."""
    return uuid.uuid4().hex[:16]


class CorrelationMiddleware(AsyncMiddleware):
    """Binds a correlation id to each HTTP request's log lines and returns it in `X-Correlation-Id`."""

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        correlation_id = new_correlation_id()
        with structlog.contextvars.bound_contextvars(correlation_id=correlation_id):
            response = await self.get_response(request)
            if response.status_code >= 500:
                # Django itself logs this when all middleware has ended, and the id is bound no more; it does so once.
                log_response("%s: %s", response.reason_phrase, request.path, response=response, request=request)
        response["X-Correlation-Id"] = correlation_id
        return response
