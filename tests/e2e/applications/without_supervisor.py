"""The application on a server whose supervisor was not built."""

from __future__ import annotations

from typing import cast

from django.apps import apps

from agents.apps import AgentsConfig
from netra.asgi import application

cast("AgentsConfig", apps.get_app_config("agents")).supervisor = None

__all__ = ["application"]
