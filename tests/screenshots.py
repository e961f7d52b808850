"""Pictures of the page in its main states, and of the administration: `python -m tests.screenshots` takes those of
docs/screenshots anew.

With a FOLDER it takes each state light, dark and on a phone. `--administration`: of that alone.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from tests.browser import STILL, chromium, profile
from tests.clients import Account
from tests.e2e.administered import administered, sign_in
from tests.e2e.page_states import showcase
from tests.live import LiveServer
from tests.processes import REPOSITORY

DESKTOP = {"viewport": {"width": 1200, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
FORMS: dict[str, dict[str, Any]] = {
    "light": {**DESKTOP, "color_scheme": "light"},
    "dark": {**DESKTOP, "color_scheme": "dark"},
    "phone": {**PHONE, "color_scheme": "light"},
}


PERSONS = {"light": "Ada", "dark": "Grace", "phone": "Mary"}
KEPT = REPOSITORY / "docs/screenshots"


def take(page: Page, folder: Path, name: str) -> None:
    picture = folder / f"{name}.png"
    if folder != KEPT or picture.exists():
        page.evaluate(STILL)
        page.screenshot(path=picture)


def of_the_administration(folder: Path) -> None:
    with administered() as shown, chromium() as browser:
        for form, options in FORMS.items():
            with profile(browser, **options) as context:
                page = context.new_page()
                page.goto(shown.address("login/"))
                take(page, folder, f"admin-login-{form}")
                sign_in(page, shown, shown.root)
                for name, path in shown.pages().items():
                    page.goto(shown.address(path))
                    take(page, folder, f"admin-{name}-{form}")


def of_the_page(folder: Path) -> None:
    with showcase() as shown, chromium() as browser:
        for form, options in FORMS.items():
            account = named(shown.server, PERSONS[form])
            with profile(browser, **options) as context:
                page = context.new_page()
                for state in shown.states(page, account):
                    take(page, folder, f"{state}-{form}")


def named(server: LiveServer, name: str) -> Account:
    account = dataclasses.replace(server.add_user(), username=name)
    with server.database() as connection:
        connection.execute("UPDATE auth_user SET username = %s WHERE id = %s", (name, account.id))
    return account


def main(*given: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "netra.settings")
    folders = [Path(each) for each in given if not each.startswith("--")]
    folder = folders[0] if folders else KEPT
    folder.mkdir(parents=True, exist_ok=True)
    if "--administration" not in given:
        of_the_page(folder)
    of_the_administration(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
