"""The sockets of the project, as the tutorial has them: origin, cookie, session, user, then the consumer.

Nobody brings a cookie, so no query is made. Whose group a socket joins is said by its path.
"""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bench.peers.tutorial.settings")

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application
from django.urls import re_path

from bench.peers.tutorial.consumers import ChatConsumer

routes: list[Any] = [re_path(r"ws/chat/(?P<person>\w+)/$", ChatConsumer.as_asgi())]  # type: ignore[arg-type]
application = ProtocolTypeRouter(
    {"http": get_asgi_application(), "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(routes)))}
)
