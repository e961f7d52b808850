"""Pictures of the page in its main states, for docs/screenshots: `python -m tests.screenshots [FOLDER]`.

Each state is taken light, dark and on a phone; docs/screenshots keeps those that the documents show.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from tests.browser import STILL, chromium, profile
from tests.e2e.page_states import showcase
from tests.processes import REPOSITORY

DESKTOP = {"viewport": {"width": 1200, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
FORMS: dict[str, dict[str, Any]] = {
    "light": {**DESKTOP, "color_scheme": "light"},
    "dark": {**DESKTOP, "color_scheme": "dark"},
    "phone": {**PHONE, "color_scheme": "light"},
}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "netra.settings")
    with showcase() as shown, chromium() as browser:
        for form, options in FORMS.items():
            account = shown.server.add_user("ann")
            with profile(browser, **options) as context:
                page = context.new_page()
                for state in shown.states(page, account):
                    page.evaluate(STILL)
                    page.screenshot(path=folder / f"{state}-{form}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "docs/screenshots")
