"""What every page must satisfy on a phone and on a desktop, and pictures of it to look at."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from selenium.webdriver import Chrome

SCREENSHOTS = Path(__file__).resolve().parent.parent.parent / "screenshots"
PHONE, DESKTOP = 390, 1280


@dataclass(frozen=True, slots=True)
class Screen:
    """A browser at one width, in light or dark."""

    browser: Chrome
    width: int
    scheme: str

    def __str__(self) -> str:
        return f"{self.width}-{self.scheme}"

    def show(self) -> None:
        self._resize(900)
        self.browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": self.scheme}]},
        )

    def _resize(self, height: int) -> None:
        self.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {
                "width": self.width,
                "height": height,
                "deviceScaleFactor": 1,
                "mobile": self.width == PHONE,
            },
        )

    def keep(self, name: str) -> None:
        """Check the page and save a picture of all of it."""
        self.check(name)
        self.picture(name)

    def picture(self, name: str) -> None:
        """Save a picture of all of the page."""
        height = self.browser.execute_script("return document.documentElement.scrollHeight")
        self._resize(min(int(height), 6_000))
        SCREENSHOTS.mkdir(exist_ok=True)
        self.browser.save_screenshot(str(SCREENSHOTS / f"{name}-{self}.png"))
        self._resize(900)

    def check(self, name: str) -> None:
        self.check_width(name)
        console = self.browser.get_log("browser")  # type: ignore[no-untyped-call]
        complaints = [entry["message"] for entry in console]
        assert not complaints, f"{name} at {self}: {complaints}"
        levels = self.browser.execute_script(
            "return [...document.querySelectorAll('h1,h2,h3')].map(e => +e.tagName[1])"
        )
        assert levels.count(1) == 1, f"{name} has {levels.count(1)} first headings"
        steps = pairwise(levels)
        assert all(after <= before + 1 for before, after in steps), f"{name}: {levels}"

    def check_width(self, name: str) -> None:
        wide = self.browser.execute_script(
            "return document.documentElement.scrollWidth - window.innerWidth"
        )
        assert wide <= 0, f"{name} scrolls sideways by {wide} px at {self}"
