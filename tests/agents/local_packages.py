"""The local model as `make test` and `make model` install it."""

from __future__ import annotations

import pytest

from agents.errors import ModelUnusable
from agents.models.local_server import LocalPackages


def installed() -> LocalPackages:
    try:
        return LocalPackages.find()
    except ModelUnusable as error:
        pytest.skip(str(error))
