"""Every setting with its values and its meaning, as the page docs/configuration.md."""

from __future__ import annotations

import sys
import textwrap
from typing import get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from netra.config import Config, variable
from netra.secret_files import is_secret

INTRODUCTION = """\
# Configuration

Every setting is an environment variable, read once when a process starts. An empty one counts as not set. A wrong or
missing value ends the process with one sentence that names it, and with exit status 2.

This table is what `python -m netra.settings_table` prints.

{files}

| variable | value | default | meaning |
|---|---|---|---|
"""
# The secrets are those of the settings.
FILES = (
    "A secret may be in a file: {secrets}, and what libraries read by themselves (`PGPASSWORD` and the keys of models' "
    "providers, as `OPENAI_API_KEY`), are read from the file whose path stands in the same name with `_FILE` after it, "
    "as `NETRA_SECRET_KEY_FILE=/run/secrets/netra_secret_key`. The file is text; the end of its last line does not "
    "count. Of the two names only one may be set."
)


def describe() -> str:
    """Every setting as Markdown: docs/configuration.md."""
    rows = [
        f"| `{variable(name)}` | {_kind(field)} | {_default(field)} | {field.description} |\n"
        for name, field in Config.model_fields.items()
    ]
    secret = [f"`{variable(name)}`" for name, field in Config.model_fields.items() if is_secret(field)]
    files = FILES.replace("{secrets}", f"{', '.join(secret[:-1])} and {secret[-1]}")
    wrapped = textwrap.fill(files, 120, break_long_words=False, break_on_hyphens=False)
    return INTRODUCTION.replace("{files}", wrapped) + "".join(rows)


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
