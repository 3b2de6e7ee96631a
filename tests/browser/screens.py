"""What every page must satisfy on a phone and on a desktop, and pictures of it to look at."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page

SCREENSHOTS = Path(__file__).resolve().parent.parent.parent / "screenshots"
PHONE, DESKTOP = 390, 1280
_HEIGHT = 900
_HEIGHT_MAX = 6_000
# WCAG 2.2 AA, with all of the levels and versions that it holds.
_RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    "resultTypes": ["violations"],
}

Scheme = Literal["light", "dark"]


@dataclass
class Screen:
    """A browser at one width, in light or dark, with a profile of its own."""

    page: Page
    width: int
    scheme: Scheme
    complaints: list[str] = field(default_factory=list)

    @classmethod
    @contextmanager
    def of(
        cls, browser: Browser, width: int, scheme: Scheme, language: str = "en-GB"
    ) -> Iterator["Screen"]:
        context = browser.new_context(
            viewport={"width": width, "height": _HEIGHT},
            color_scheme=scheme,
            locale=language,
            timezone_id="Europe/Berlin",
            is_mobile=width == PHONE,
            reduced_motion="reduce",
        )
        context.set_default_timeout(30_000)
        screen = cls(context.new_page(), width, scheme)
        screen.page.on("console", screen._listen)
        screen.page.on("pageerror", lambda error: screen.complaints.append(str(error)))
        try:
            yield screen
        finally:
            context.close()

    def __str__(self) -> str:
        return f"{self.width}-{self.scheme}"

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def keep(self, name: str) -> None:
        """Check the page and save a picture of all of it."""
        self.check(name)
        self.picture(name)

    def picture(self, name: str) -> None:
        """Save a picture of all of the page."""
        SCREENSHOTS.mkdir(exist_ok=True)
        height = min(int(self.page.evaluate("document.documentElement.scrollHeight")), _HEIGHT_MAX)
        self.page.set_viewport_size({"width": self.width, "height": height})
        self.page.screenshot(path=SCREENSHOTS / f"{name}-{self}.png")
        self.page.set_viewport_size({"width": self.width, "height": _HEIGHT})

    def check(self, name: str) -> None:
        """The page fits, complains of nothing, has its headings in order, and can be used by
        everyone."""
        self.check_width(name)
        self.check_console(name)
        levels = self.page.evaluate(
            "[...document.querySelectorAll('h1,h2,h3')].map(e => +e.tagName[1])"
        )
        assert levels.count(1) == 1, f"{name} has {levels.count(1)} first headings"
        steps = pairwise(levels)
        assert all(after <= before + 1 for before, after in steps), f"{name}: {levels}"
        # Colours differ by scheme and sizes by width: two of the four see all of both.
        if (self.width, self.scheme) in {(PHONE, "light"), (DESKTOP, "dark")}:
            self.check_access(name)

    def check_width(self, name: str) -> None:
        wide = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, f"{name} scrolls sideways by {wide} px at {self}"

    def check_console(self, name: str) -> None:
        assert not self.complaints, f"{name} at {self}: {self.complaints}"

    def check_access(self, name: str) -> None:
        found = Axe().run(self.page, options=_RULES)
        told = [
            f"{each['id']}: {each['help']}: {[node['target'] for node in each['nodes']][:3]}"
            for each in found.response["violations"]
        ]
        assert not told, f"{name} at {self}: {told}"

    def open(self, address: str) -> None:
        self.page.goto(address)

    def follow(self, words: str) -> None:
        """Go where the link of exactly these words leads."""
        self.press(self.page.get_by_role("link", name=words, exact=True))

    def press(self, what: Locator | str) -> None:
        """Press what leads to another page, the first such one, and wait until that is there."""
        target = self.page.locator(what) if isinstance(what, str) else what
        before = self.page.url
        target.first.click()
        self.page.wait_for_url(lambda url: url != before)

    def text_of(self, selector: str) -> str:
        return self.page.locator(selector).first.inner_text()

    def sign_in(self, address: str, email: str, password: str) -> None:
        """From the sign-in page on, which is open or is opened."""
        if "/sign-in/" not in self.page.url:
            self.open(f"{address}/sign-in/")
        self.page.get_by_label("E-mail").fill(email)
        self.page.get_by_label("Password").fill(password)
        self.press("button.primary")
