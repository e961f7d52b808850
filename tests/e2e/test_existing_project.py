"""docs/operations.md, executed: a Django project that had people and orders gets Netra inside, on its own database."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.contrib.auth.hashers import make_password

from netra.postgres import EmbeddedPostgres
from tests.clients import PASSWORD, SECRET_KEY, Account, assert_whole, connected, request, sign_in
from tests.e2e.conftest import new_data_dir
from tests.examples import blocks_of
from tests.live import LiveServer
from tests.processes import REPOSITORY, eventually

# The first test starts everything.
pytestmark = pytest.mark.timeout(300)
PAGE = REPOSITORY / "docs" / "operations.md"
# The project as it was, but for its settings and urls, which the page changes.
PROJECT = {
    "manage.py": """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
""",
    "project/__init__.py": "",
    "shop/__init__.py": "",
    "shop/models.py": """
from django.conf import settings
from django.db import models


class Order(models.Model):
    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT)
    what = models.CharField(max_length=50)
""",
    "shop/urls.py": """
from django.http import HttpResponse
from django.urls import path
from shop.models import Order


def orders(request):
    return HttpResponse(", ".join(f"{order.person.username}: {order.what}" for order in Order.objects.all()))


urlpatterns = [path("orders", orders)]
""",
    "shop/migrations/__init__.py": "",
    "shop/migrations/0001_initial.py": """
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]
    operations = [migrations.CreateModel("Order", [
        ("id", models.BigAutoField(primary_key=True)),
        ("what", models.CharField(max_length=50)),
        ("person", models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT)),
    ])]
""",
    "before.py": """
import os
from psycopg.conninfo import conninfo_to_dict
given = conninfo_to_dict(os.environ["DATABASE_URL"])
SECRET_KEY = "a key of the project's"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": given["dbname"], "USER": given["user"],
                         "HOST": given["host"], "PORT": given["port"]}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
""",
}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    for place in new_data_dir():
        written = {block.info: block.text for block in blocks_of(PAGE) if block.language == "python"}
        assert written.keys() == {"project/settings.py", "project/urls.py"}
        for name, text in (PROJECT | written).items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text)
        yield place


@pytest.fixture(scope="module")
def account(folder: Path) -> Iterator[Account]:
    """Somebody who was there before, with an order."""
    with EmbeddedPostgres(folder) as postgres:
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder), "DATABASE_URL": postgres.dsn}
        command = [sys.executable, "manage.py", "migrate", "--verbosity", "0", "--settings", "before"]
        subprocess.run(command, cwd=folder, env=environment, check=True)
        with psycopg.connect(postgres.dsn) as connection:
            hashed = make_password(PASSWORD)
            [[user_id]] = connection.execute(
                """INSERT INTO auth_user (password, is_superuser, username, first_name, last_name, email, is_staff,
                                          is_active, date_joined)
                   VALUES (%s, true, 'ann', '', '', '', true, true, now()) RETURNING id""",
                [hashed],
            ).fetchall()
            connection.execute("INSERT INTO shop_order (person_id, what) VALUES (%s, 'tea')", [user_id])
        yield Account(user_id, "ann", PASSWORD, hashed)


@pytest.fixture(scope="module")
def server(folder: Path, account: Account) -> Iterator[LiveServer]:
    """The project's own manage.py, with Netra's folder on its path."""
    server = LiveServer(
        folder, database_url=EmbeddedPostgres(folder).dsn, options=["--no-migrate"], secret_key=SECRET_KEY
    )
    server.source = folder
    server.inherited = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{folder}:{REPOSITORY}"}
    server.manage("migrate", "--verbosity", "0")
    with server:
        yield server
    assert not server.traceback(), server.traceback()


async def test_people_of_the_project_sign_in_and_ask_and_its_pages_go_on(server: LiveServer, account: Account) -> None:
    assert server.http("GET", "/shop/orders").body == "ann: tea"
    access = sign_in(server.url, "ann", PASSWORD)["access"]
    async with connected(server.url, access) as client:
        assert_whole(await client.ask("What is 6 * 7?"))
    assert server.http("GET", "/").status == 200
    assert server.http("GET", "/admin/login/").status == 200


async def test_an_order_holds_on_to_the_row_of_a_deleted_account_and_to_nothing_else(
    server: LiveServer, account: Account
) -> None:
    access = sign_in(server.url, "ann", PASSWORD)["access"]
    body = {"password": PASSWORD}
    assert request(server.url, "DELETE", "/api/me", token=access, body=body).status == 204
    await eventually(lambda: "account_not_removed" in server.log_text(), what="the sweep to come to the row")
    assert server.http("GET", "/shop/orders").body == f"deleted:{account.id}: tea"
    with server.database() as connection:
        for table in ("chat_thread", "chat_message", "chat_run"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_another_model_of_people_is_refused_with_a_sentence(folder: Path, account: Account) -> None:
    (folder / "people").mkdir()
    (folder / "people" / "__init__.py").write_text("")
    (folder / "people" / "models.py").write_text(
        "from django.contrib.auth.models import AbstractUser\nclass Person(AbstractUser): ...\n"
    )
    (folder / "other.py").write_text(
        "from project.settings import *\n"
        'INSTALLED_APPS = [*INSTALLED_APPS, "people"]\nAUTH_USER_MODEL = "people.Person"\n'
    )
    ended = subprocess.run(
        [sys.executable, "manage.py", "check", "--settings", "other"],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{folder}:{REPOSITORY}",
            "DATABASE_URL": EmbeddedPostgres(folder).dsn,
            "NETRA_DATA_DIR": str(folder),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "ImproperlyConfigured: AUTH_USER_MODEL is people.Person: Netra works with Django's own" in ended.stderr
