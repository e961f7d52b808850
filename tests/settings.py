"""Netra's settings for tests and the servers that they start: all of its own, but that a password is hashed at once."""

from __future__ import annotations

from django.contrib.auth.hashers import PBKDF2PasswordHasher

from netra.settings import *  # noqa: F403 - each of them is a setting


class QuickHasher(PBKDF2PasswordHasher):
    """The usual one, whose half second of work nothing here is kept safe by. It knows no password hashed with more."""

    iterations = 1


PASSWORD_HASHERS = ["tests.settings.QuickHasher"]
