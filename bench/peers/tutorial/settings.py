"""A Django project of the smallest form that the tutorial of Channels ends with."""

from __future__ import annotations

import os

SECRET_KEY = "of a server that only the bench reaches"  # noqa: S105
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
USE_TZ = True
# The layer keeps 100 messages of a socket by default, and leaves out the rest: here nothing is left out. Without a
# limit of time of its own redis-py ends the layer's waiting, and with it the socket, after five seconds; and without a
# number of its own there are 100 connections, and what is sent by more at once fails.
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {
            "hosts": [
                {
                    "address": os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"),
                    "socket_timeout": None,
                    "max_connections": 10_000,
                }
            ],
            "capacity": 1_000_000,
        },
    }
}
