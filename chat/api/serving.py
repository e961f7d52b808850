"""What the views share: the services behind them."""

from __future__ import annotations

from typing import cast

from django.apps import apps

from chat import health
from chat.apps import ChatConfig
from chat.threads import ThreadService


def chat_config() -> ChatConfig:
    return cast("ChatConfig", apps.get_app_config("chat"))


def thread_service() -> ThreadService:
    """Raises ConnectionRefused with SERVICE_UNAVAILABLE, naming what is missing."""
    return health.require_services(chat_config())
