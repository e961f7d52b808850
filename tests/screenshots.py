"""Pictures of the page in its main states: `python -m tests.screenshots` takes those of docs/screenshots anew.

With a FOLDER it takes each state light, dark and on a phone.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

from tests.browser import STILL, chromium, profile
from tests.clients import Account
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


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "netra.settings")
    with showcase() as shown, chromium() as browser:
        for form, options in FORMS.items():
            account = named(shown.server, PERSONS[form])
            with profile(browser, **options) as context:
                page = context.new_page()
                for state in shown.states(page, account):
                    picture = folder / f"{state}-{form}.png"
                    if folder != KEPT or picture.exists():
                        page.evaluate(STILL)
                        page.screenshot(path=picture)


def named(server: LiveServer, name: str) -> Account:
    account = dataclasses.replace(server.add_user(), username=name)
    with server.database() as connection:
        connection.execute("UPDATE auth_user SET username = %s WHERE id = %s", (name, account.id))
    return account


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else KEPT)
