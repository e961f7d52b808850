"""Secrets from files, as containers and systemd hand them over: `NAME_FILE` is the path of what `NAME` would be.

For every setting that is secret, and for the variables that libraries read by themselves: the password of PostgreSQL
and the keys of models' providers. What is read here is kept out of logs (`agents.redaction`).
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from agents import redaction

SUFFIX = "_FILE"
LARGEST_BYTES = 1_048_576
OF_LIBRARIES = re.compile(r"PGPASSWORD|HF_TOKEN|[A-Z0-9_]+_API_KEY")


class SecretUnreadable(Exception):
    """One sentence that names the variable, and nothing of what is secret: its value may be the secret itself."""


class HoldsPassword:
    """Marks a setting that is no SecretStr and yet may have a password in it."""


def is_secret(field: FieldInfo) -> bool:
    kinds = get_args(field.annotation) or (field.annotation,)
    return SecretStr in kinds or HoldsPassword in field.metadata


def variable_of(settings: type[BaseSettings], name: str) -> str:
    """The environment variable of a setting."""
    alias = settings.model_fields[name].validation_alias
    return str(alias) if alias else f"{settings.model_config['env_prefix']}{name.upper()}"


class SecretFiles(PydanticBaseSettingsSource):
    """The settings that are in files. Raises SecretUnreadable."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        text = read(variable_of(self.settings_cls, field_name), _environment()) if is_secret(field) else None
        return text, str(field.validation_alias or field_name), False

    def __call__(self) -> dict[str, Any]:
        found = (self.get_field_value(field, name) for name, field in self.settings_cls.model_fields.items())
        return {key: value for value, key, _ in found if value is not None}


def give_to_libraries() -> None:
    """Put what libraries look for into the environment of this process. Raises SecretUnreadable."""
    environment = dict(os.environ)
    for given in environment:
        name = given.removesuffix(SUFFIX)
        if name != given and OF_LIBRARIES.fullmatch(name) and (text := read(name, environment)) is not None:
            os.environ[name] = text
            del os.environ[given]  # or what is started with this environment would find both


def read(name: str, environment: Mapping[str, str]) -> str | None:
    """What the file of a variable has, without the line's end; None when no file is named. Raises SecretUnreadable."""
    path = environment.get(f"{name}{SUFFIX}")
    if not path:
        return None
    if environment.get(name):
        raise SecretUnreadable(f"{name} and {name}{SUFFIX} are both set: only one of them may be.")
    text = _content(name, path).removesuffix("\n").removesuffix("\r")
    if not text or "\0" in text:
        raise SecretUnreadable(f"{name}{SUFFIX}: the file that it names is {'no text' if text else 'empty'}.")
    redaction.keep_out(text)
    return text


def _content(name: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
        if len(content) > LARGEST_BYTES:
            raise SecretUnreadable(f"{name}{SUFFIX}: the file that it names has more than {LARGEST_BYTES} bytes.")
        return content.decode()
    except OSError as error:
        raise SecretUnreadable(f"{name}{SUFFIX}: the file that it names cannot be read ({error.strerror}).") from None
    except ValueError:  # a NUL in the path, or no UTF-8
        raise SecretUnreadable(f"{name}{SUFFIX}: the file that it names is no text.") from None


def _environment() -> dict[str, str]:
    """Names of settings are read in any case."""
    return {name.upper(): value for name, value in os.environ.items()}


def kept_in(data_dir: Path) -> str:
    """The secret key of development: made once, and for its owner only. Raises OSError."""
    path = data_dir / "secret_key"
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        _write_once(path, secrets.token_urlsafe(48))
    return path.read_text()


def _write_once(path: Path, text: str) -> None:
    """Of processes that do this at once, one wins; nobody ever reads a part of what it writes."""
    written, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # for its owner only: mode 0600
    try:
        with os.fdopen(written, "w") as file:
            file.write(text)
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()
