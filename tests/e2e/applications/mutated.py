"""The application with the fault that STAGING_MUTATION names, if it names one: tests/e2e/staging/mutations.py."""

from __future__ import annotations

import os

from netra.asgi import application  # isort: skip - sets Django up

from tests.e2e.staging.mutations import MUTATIONS

__all__ = ["application"]

if name := os.environ.get("STAGING_MUTATION"):
    MUTATIONS[name].apply()
