"""What intercepted programs counted themselves: resources opened, and bytes through the network.

The library (agent/intercept/) counts in a page of each process; this probe reads the pages, books
what was added to the process's application, and removes a page once the process has ended and its
last values are stored.
"""

import logging
import os
from pathlib import Path
from typing import Final

from hostmeter_agent.interception import intercept_pages
from hostmeter_agent.interception.intercept_booking import (
    ROOT,
    UNAVAILABLE,
    Booked,
    Booking,
    decoded,
)
from hostmeter_agent.interception.intercept_pages import Page, UnreadablePage
from hostmeter_agent.measure.probes import Probe, Readings
from hostmeter_agent.measure.proc import ProcFs, UnreadableStat
from hostmeter_agent.measure.scan import Scan

log = logging.getLogger("hostmeter_agent")

DIRECTORY: Final = Path("/run/hostmeter/intercept")
# Any user makes pages and may list none; only the directory's owner removes those of others.
_DIRECTORY_MODE: Final = 0o1733


class InterceptProbe(Probe):
    """Reads the pages of one directory."""

    name = "intercept"

    def __init__(self, proc: ProcFs, directory: Path = DIRECTORY) -> None:
        """Makes the directory, or says in the log why it cannot."""
        self._proc = proc
        self._directory = str(directory)
        self._namespace = _pid_namespace(proc)
        self._ended: list[str] = []
        self._trusted: set[str] = set()
        self._said: set[str] = set()
        self._prepare(directory)

    def read(self, scan: Scan, former: object | None, *, elapsed_ms: int) -> Readings:
        self._ended = []
        try:
            names, complete = intercept_pages.names(self._directory)
        except OSError as error:
            self._say(f"no intercepted program can be read: {error.strerror}: {self._directory}")
            state = former if former is not None else Booked().encoded()
            return Readings(default=UNAVAILABLE, state=state)
        if not complete:
            self._say("there are more intercepted programs than can be read")
        self._trusted.intersection_update(names)
        pages = {name: page for name in names if (page := self._page(name)) is not None}
        before = None if former is None else decoded(former)
        booking = Booking(scan, pages, before, self._owner)
        for name, page in list(pages.items()):
            self._take(name, page, booking)
        for name in self._unread(names, booking, complete=complete):
            booking.keep(name)
        return booking.qualify(complete=complete)

    def stored(self) -> None:
        """Remove the pages whose last values are on the disk now."""
        for name in self._ended:
            try:
                os.unlink(f"{self._directory}/{name}")
            except FileNotFoundError:
                continue
            except OSError as error:
                self._say(f"pages of ended programs cannot be removed: {error.strerror}")
        self._ended = []

    def _unread(self, names: list[str], booking: Booking, *, complete: bool) -> list[str]:
        """Pages that are there and could not be read now. What is booked of them is kept: they
        will be readable again, and would count from their beginning."""
        unread = [name for name in names if name not in booking.pages]
        if complete or booking.before is None:
            return unread
        listed = frozenset(names)
        others = [name for name in booking.before.pages if name not in listed]
        return unread + [n for n in others if os.path.lexists(f"{self._directory}/{n}")]

    def _take(self, name: str, page: Page, booking: Booking) -> None:
        running = booking.scan.table.processes.get(page.pid)
        if running is not None and running.start == page.start:
            if self._is_trusted(name, page):
                booking.book(name, page, running.application)
            else:
                del booking.pages[name]
        elif self._is_alive(page):
            # Begun since the scan: its application is known at the next one.
            booking.keep(name)
        else:
            # Read again: it may have counted between the first reading and its end.
            self._ended.append(name)
            booking.book_ended(name, self._page(name, whole=True) or page)

    def _page(self, name: str, *, whole: bool = False) -> Page | None:
        try:
            page = intercept_pages.read(self._directory, name, whole=whole)
        except FileNotFoundError:
            return None
        except UnreadablePage as error:
            self._say(f"a page of an intercepted program is ignored: {error}")
            return None
        except OSError as error:
            self._say(f"a page of an intercepted program cannot be read: {error.strerror}")
            return None
        if page.pid_namespace != self._namespace:
            self._say("a program in another pid namespace is intercepted: its page is ignored")
            return None
        return page

    def _is_alive(self, page: Page) -> bool:
        try:
            return self._proc.stat(page.pid).start == page.start
        except (OSError, UnreadableStat):
            return False

    def _owner(self, pid: int) -> int | None:
        try:
            return self._proc.owner(pid)
        except OSError:
            return None

    def _is_trusted(self, name: str, page: Page) -> bool:
        """A page that another user made for a process counts for nothing. Asked once: a program
        may change its user later."""
        if name in self._trusted:
            return True
        if page.owner not in (ROOT, self._owner(page.pid)):
            self._say("a page that another user made for a program is ignored")
            return False
        self._trusted.add(name)
        return True

    def _prepare(self, directory: Path) -> None:
        """With the rights that every user's programs need, where it is ours."""
        try:
            directory.mkdir(parents=True, exist_ok=True)
            status = directory.stat()
            if status.st_uid == os.geteuid() and status.st_mode & 0o7777 != _DIRECTORY_MODE:
                directory.chmod(_DIRECTORY_MODE)
        except OSError as error:
            self._say(f"no program can be intercepted: {error.strerror}: {directory}")

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            log.warning("%s", text)


def _pid_namespace(proc: ProcFs) -> int:
    """Which one the pids of that /proc are in; 0 where it does not tell."""
    try:
        return os.stat(f"{proc.root}/self/ns/pid").st_ino
    except OSError:
        return 0
