"""Every setting with its values and its meaning, as the page docs/configuration.md."""

from __future__ import annotations

import sys
from typing import get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from netra.config import Config, variable

INTRODUCTION = """\
# Configuration

Every setting is an environment variable, read once when a process starts. An empty one counts as not set. A wrong or
missing value ends the process with one sentence that names it, and with exit status 2.

This table is what `python -m netra.settings_table` prints.

| variable | value | default | meaning |
|---|---|---|---|
"""


def describe() -> str:
    """Every setting as Markdown: docs/configuration.md."""
    rows = [
        f"| `{variable(name)}` | {_kind(field)} | {_default(field)} | {field.description} |\n"
        for name, field in Config.model_fields.items()
    ]
    return INTRODUCTION + "".join(rows)


def _kind(field: FieldInfo) -> str:
    annotation = field.annotation
    if choices := [choice for choice in get_args(annotation) if isinstance(choice, str)]:
        return ", ".join(f"`{choice}`" for choice in choices)
    if annotation is bool:
        return "`true`, `false`"
    if annotation not in (int, float):
        return "text"
    bounds = [
        f" {word} {getattr(bound, name)}"
        for bound in field.metadata
        for name, word in (("gt", "above"), ("ge", "from"), ("le", "to"))
        if hasattr(bound, name)
    ]
    return ("whole number" if annotation is int else "number") + "".join(bounds)


def _default(field: FieldInfo) -> str:
    default = field.default
    if isinstance(default, SecretStr) or default in (None, (), PydanticUndefined):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


if __name__ == "__main__":
    sys.stdout.write(describe())
