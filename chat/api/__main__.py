"""`python -m chat.api > docs/openapi.json`: the OpenAPI document."""

from __future__ import annotations

import json
import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "netra.settings")
django.setup()

from chat.api.documents import openapi

sys.stdout.write(json.dumps(openapi(), ensure_ascii=False, indent=1) + "\n")
