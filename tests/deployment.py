"""What the Dockerfile, docker-compose.yml and deploy/haproxy.cfg say, read as Docker and HAProxy read it."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).resolve().parent.parent
PROXY = (ROOT / "deploy" / "haproxy.cfg").read_text()
COMPOSE = (ROOT / "docker-compose.yml").read_text()
SECRETS = (ROOT / "deploy" / "secrets.yml").read_text()
# What stands in a variable's place may name another one.
_VARIABLE = re.compile(r"\$\{(\w+)(?:(:[-?+])((?:[^{}]|\$\{[^{}]*\})*))?\}")


# The image


class Instruction(NamedTuple):
    name: str
    value: str


def dockerfile() -> list[Instruction]:
    parser = DockerfileParser(str(ROOT), cache_content=True)
    found = [Instruction(each["instruction"], each["value"]) for each in parser.structure]
    return [each for each in found if each.name != "COMMENT"]


def last(name: str) -> str:
    return next(each.value for each in reversed(dockerfile()) if each.name == name)


def image_environment() -> dict[str, str]:
    """ENV of the stage that is run."""
    return dict(pair.split("=", 1) for pair in shlex.split(last("ENV")))


def health_check() -> list[str]:
    command: list[str] = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    return command


def copied() -> Iterator[tuple[str, str]]:
    """What comes from outside the image: source, destination."""
    for each in dockerfile():
        if each.name == "COPY" and not each.value.startswith("--from="):
            *sources, destination = each.value.split()
            for source in sources:
                yield source, destination


def context() -> tuple[set[str], set[str]]:
    """.dockerignore, which must begin by leaving out all: what is let in again, and the names left out of that."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    let_in = {line[1:] for line in lines[1:] if line.startswith("!")}
    left_out = {line for line in lines[1:] if not line.startswith("!")}
    assert all(pattern.startswith("**/") for pattern in left_out)
    return let_in, {pattern.removeprefix("**/") for pattern in left_out}


def lay_out(folder: Path) -> None:
    """The application as the image has it: what is copied into its working folder."""
    let_in, left_out = context()

    def ignored(_folder: str, names: list[str]) -> set[str]:
        return {name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in left_out)}

    for source, destination in copied():
        assert source in let_in, f"{source} is left out by .dockerignore"
        if destination.startswith("/"):
            continue
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, folder / destination, ignore=ignored)
        else:
            shutil.copy2(ROOT / source, folder / destination)


# The containers


def services(variables: Mapping[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """The services of docker-compose.yml, its variables replaced when they are given."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(_replaced(COMPOSE, variables))["services"]
    return found


def services_with_secrets(variables: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The same with deploy/secrets.yml over it, as compose merges: what both name is the later file's, lists are added.

    Each secret of a service is the file that it is mounted from.
    """
    over = yaml.safe_load(_replaced(SECRETS, variables))
    found = services(variables)
    for name, service in over["services"].items():
        assert set(service) == {"environment", "secrets"}
        found[name]["environment"] = {**found[name]["environment"], **service["environment"]}
        found[name]["secrets"] = {each: over["secrets"][each]["file"] for each in service["secrets"]}
    return found


def variables_of(text: str) -> dict[str, set[str]]:
    """The variables in a text of compose, each with how it is used: `:?` required, `:-` with a default, `:+` if set."""
    found: dict[str, set[str]] = {}
    for match in _VARIABLE.finditer(text):
        found.setdefault(match[1], set()).add(match[2] or "")
        for name, ways in variables_of(match[3] or "").items():
            found.setdefault(name, set()).update(ways)
    return found


def _replaced(text: str, variables: Mapping[str, str] | None) -> str:
    return text if variables is None else _VARIABLE.sub(lambda match: _value(match, variables), text)


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    given = variables.get(match[1], "")
    if match[2] == ":+":
        return _replaced(match[3], variables) if given else ""
    if match[2] == ":?" and not given:
        raise LookupError(f"{match[1]} {match[3]}")
    return given or (_replaced(match[3], variables) if match[2] == ":-" else "")


def environment(service: str, variables: Mapping[str, str]) -> dict[str, str]:
    """What a container of this service finds. A name without a value is passed on when it is set."""
    return _found(services(variables)[service], variables)


def environment_with_secrets(service: str, variables: Mapping[str, str]) -> dict[str, str]:
    """The same with deploy/secrets.yml: with its files where they are mounted from."""
    found = services_with_secrets(variables)[service]
    environment = dict(variables) | _found(found, variables)  # .env is handed over, too
    for name, file in found["secrets"].items():
        environment = {key: file if value == f"/run/secrets/{name}" else value for key, value in environment.items()}
    return environment


def _found(service: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, str]:
    named = service.get("environment", {})
    given = {name: variables.get(name) if value is None else str(value) for name, value in named.items()}
    return {name: value for name, value in given.items() if value is not None}


def example() -> tuple[dict[str, str], dict[str, str]]:
    """.env.example: what must be filled in, and what may be, with the values shown."""
    text = (ROOT / ".env.example").read_text()
    found = [re.findall(rf"^{sign}([A-Z_]+)=(.*)$", text, re.MULTILINE) for sign in ("", "#")]
    return dict(found[0]), dict(found[1])


# The proxy


def haproxy() -> str:
    """The program. Debian puts it where only root looks."""
    program = shutil.which("haproxy", path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
    assert program, "haproxy is not installed: `make test` installs it"
    return program


def proxy_configuration(servers: Mapping[str, int]) -> str:
    """deploy/haproxy.cfg with these web processes, by their ports, for those that Docker's DNS would name."""
    lines = "".join(f"    server {name} 127.0.0.1:{port} check\n" for name, port in servers.items())
    text = PROXY
    for section, replacement in (("web servers", lines), ("resolvers", "")):
        block = rf"^ *# {section}: begin.*?# {section}: end.*?\n"
        text, found = re.subn(block, replacement, text, flags=re.DOTALL | re.MULTILINE)
        assert found == 1, section
    return text
