"""`manage.py export_person` and `erase_person`: for requests that reach who runs the server, not the server."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command

from chat import attachments, removal
from chat.models import AuditEntry, Message, Run, RunStatus
from chat.threads import ThreadService
from netra.management.commands import erase_person
from netra.testing import rebuild
from tests.chat.holding import post
from tests.chat.test_removal import rows_about

pytestmark = pytest.mark.usefixtures("transactional_db")


@pytest.fixture(autouse=True)
def _as_configured() -> None:
    rebuild()


def run(*command: str) -> str:
    said = io.StringIO()
    call_command(*command, stdout=said)
    return said.getvalue()


def refused(*command: str) -> str:
    with pytest.raises(CommandError) as error:
        run(*command)
    return str(error.value)


def entries() -> list[tuple[str, Any, Any, dict[str, str]]]:
    return list(AuditEntry.objects.values_list("action", "actor", "subject", "details"))


# Exporting


def test_a_person_is_exported_for_its_owner_alone_and_that_is_noted(
    service: ThreadService, ann: Any, bob: Any, tmp_path: Path
) -> None:
    post(service, ann, "What I asked")
    post(service, bob, "What somebody else asked")
    file = tmp_path / "ann.zip"
    assert run("export_person", "ann", "--output", str(file)).startswith(f"{file}: ")
    with zipfile.ZipFile(file) as archive:
        threads = json.loads(archive.read("threads.json"))
        assert json.loads(archive.read("profile.json"))["username"] == "ann"
    assert "What I asked" in json.dumps(threads)
    assert "somebody else" not in json.dumps(threads)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert entries() == [("export", None, ann.pk, {"by": "command line"})]


def test_what_is_there_is_not_overwritten_and_nothing_unfinished_stays(
    service: ThreadService, ann: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there.zip").write_text("mine")
    assert "is there already" in refused("export_person", "ann", "--output", str(tmp_path / "there.zip"))
    monkeypatch.setattr("netra.management.commands.export_person.zipped", _breaks_off)
    assert refused("export_person", "ann", "--output", str(tmp_path / "new.zip")).endswith("No space left on device.")
    assert [path.name for path in tmp_path.iterdir()] == ["there.zip"]


def _breaks_off(*_: Any, **__: Any) -> Any:
    yield b"the beginning"
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("command", [("export_person", "--output", "/nowhere"), ("erase_person", "--yes")])
def test_nobody_of_that_name_is_told(command: tuple[str, ...], ann: Any) -> None:
    name, *options = command
    assert "There is nobody named 'Ann'" in refused(name, "Ann", *options)


# Erasing


def test_an_account_is_out_of_reach_at_once_and_the_sweep_goes_on(service: ThreadService, ann: Any, bob: Any) -> None:
    asked = post(service, ann)
    post(service, bob)
    assert "the sweep removes what is left" in run("erase_person", "ann", "--yes")
    assert Run.objects.get(id=asked.run_id).status == RunStatus.CANCELLED
    assert not get_user_model().objects.filter(username="ann").exists()
    assert entries() == [("account_deleted", None, ann.pk, {"by": "command line"})]
    assert "There is nobody named" in refused("erase_person", "ann", "--yes")
    assert "deleted already" in refused("erase_person", f"deleted:{ann.pk}", "--yes")
    assert Message.objects.filter(user=bob).count() == 1


def test_now_is_when_nothing_is_left_of_this_person_and_all_of_others(
    service: ThreadService, ann: Any, bob: Any
) -> None:
    post(service, ann)
    post(service, bob)
    removal.delete_account(bob.pk, service.event_log.publisher)
    left = rows_about(bob)
    assert "is gone, with everything" in run("erase_person", "ann", "--yes", "--now")
    assert rows_about(ann) == {}
    assert rows_about(bob) == left, "whose removal is the sweep's"


def test_what_holds_on_to_an_account_is_told(service: ThreadService, ann: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erase_person, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(removal, "remove_deleted", lambda **_: 0)
    assert "something holds on to it" in refused("erase_person", "ann", "--yes", "--now")


@pytest.mark.parametrize(("answer", "gone"), [("ann", True), ("bob", False), ("", False)])
def test_it_asks_for_the_name_once_more(
    service: ThreadService, ann: Any, monkeypatch: pytest.MonkeyPatch, answer: str, gone: bool
) -> None:
    post(service, ann)
    assert "ann has 1 threads, 1 messages, 0 files, 0 notes. Nobody is there to ask" in refused("erase_person", "ann")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    if gone:
        run("erase_person", "ann")
    else:
        assert "nothing was deleted" in refused("erase_person", "ann")
    assert get_user_model().objects.filter(username="ann").exists() != gone


def test_files_go_too(service: ThreadService, ann: Any) -> None:
    kept = attachments.store(ann.pk, ContentFile(b"a\n"), "a.txt", attachments.DEFAULT_LIMITS)
    run("erase_person", "ann", "--yes", "--now")
    assert not attachments.storage().exists(kept.storage_name)
