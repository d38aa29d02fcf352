"""A real browser that draws perfgate's pages: Debian's chromium, or a Google Chrome that is there."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, sync_playwright

#: Kept after the test, for whoever wants to see what was seen.
ARTIFACTS: Final = Path(__file__).parents[2] / ".perfgate/browser"
BROWSERS: Final = ("chromium", "google-chrome", "chromium-browser")
PHONE_PX: Final = 390
DESK_PX: Final = 1280


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Headless; a host without any skips the test, by name."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"not run: none of {', '.join(BROWSERS)} is installed: apt-get install chromium")
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=found) as browser:
        yield browser
