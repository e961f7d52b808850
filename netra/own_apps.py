"""NETRA_APPS: Django applications beside Netra's own."""

from __future__ import annotations

import traceback
from collections.abc import Sequence

import structlog
from django.apps import AppConfig

from agents.redaction import redact
from netra import config

logger = structlog.get_logger(__name__)

# The applications that are named by their configuration. It cannot be asked before there are settings.
CONFIGURED = {"chat.admin_config.AdminConfig": "django.contrib.admin", "unfold.apps.BasicAppConfig": "unfold"}


def check_own_apps(own: Sequence[str], installed: Sequence[str]) -> None:
    """End start-up with one sentence when one of them cannot be loaded, or is there twice.

    `installed` ends with them.
    """
    names = (CONFIGURED.get(name, name) for name in installed[: len(installed) - len(own)])
    labels = {name.rpartition(".")[2] for name in names}
    for name in own:
        try:
            label = AppConfig.create(name).label
        except Exception as error:  # noqa: BLE001 - an application is anyone's code
            trace = redact("".join(traceback.format_exception(error)))
            logger.error(  # noqa: TRY400 - its own text is redacted
                "own_app_failed", app=name, cause=type(error).__name__, exception=trace
            )
            text = " ".join(redact(str(error)).split())[:200].rstrip(".")
            config.stop(f"NETRA_APPS={name} cannot be used: {type(error).__name__}: {text}.")
        if label in labels:
            config.stop(f"NETRA_APPS={name} cannot be used: there is an application named {label!r} already.")
        labels.add(label)
