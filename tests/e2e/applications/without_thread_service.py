"""The application on a server whose thread service was not built."""

from __future__ import annotations

from typing import cast

from django.apps import apps

from chat.apps import ChatConfig
from netra.asgi import application

cast("ChatConfig", apps.get_app_config("chat")).thread_service = None

__all__ = ["application"]
