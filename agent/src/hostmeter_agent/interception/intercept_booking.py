"""Whose what intercepted programs counted is, and what of it is new."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, cast

from hostmeter_agent.cgroup import cgroups
from hostmeter_agent.interception.intercept_pages import Page
from hostmeter_agent.measure import naming
from hostmeter_agent.measure.measured import Measured
from hostmeter_agent.measure.probes import Readings
from hostmeter_agent.measure.proc import RESOURCE_KINDS
from hostmeter_agent.measure.readings import ANCESTORS_MAX, INIT, UNATTRIBUTED
from hostmeter_agent.measure.scan import Scan
from hostmeter_agent.wire import VALUE_MAX

METHOD: Final = "intercept/1"
COUNTER_RESET: Final = "counter-reset"
ROOT: Final = 0

_TOTAL: Final = "resources.opened"
_OPENED: Final = tuple(f"resources.opened.{kind}" for kind in RESOURCE_KINDS)
_NETWORK: Final = ("network.received", "network.sent")
_METERS: Final = (*_OPENED, *_NETWORK)
_WHOLE: Final = dict.fromkeys((_TOTAL, *_METERS), Measured("exact", METHOD))
_PARTIAL: Final = dict.fromkeys((_TOTAL, *_METERS), Measured("lower_bound", METHOD))
_NETWORK_PARTIAL: Final = {meter: _PARTIAL[meter] for meter in _NETWORK}
UNAVAILABLE: Final = dict.fromkeys((_TOTAL, *_METERS), Measured("unavailable", METHOD))

Values = tuple[int, ...]
"""A page's counters, in the order of _METERS."""


@dataclass(slots=True)
class Booked:
    """What has been booked so far.

    pages: by the page's name, its process's application and its counters; partial: applications
    of which the last scan saw processes without a page; uncounted: those of which network
    bytes may have gone uncounted.
    """

    pages: dict[str, tuple[str, Values]] = field(default_factory=dict)
    partial: set[str] = field(default_factory=set)
    uncounted: set[str] = field(default_factory=set)

    def encoded(self) -> dict[str, object]:
        """JSON-able; decoded() makes it anew."""
        pages = {name: [application, *values] for name, (application, values) in self.pages.items()}
        return {
            "pages": pages,
            "partial": sorted(self.partial),
            "uncounted": sorted(self.uncounted),
        }


def decoded(former: object) -> Booked:
    stored = cast(dict[str, object], former)
    pages = {
        name: (str(row[0]), cast(Values, tuple(row[1:])))
        for name, row in cast(dict[str, list[object]], stored["pages"]).items()
    }
    partial, uncounted = cast(list[str], stored["partial"]), cast(list[str], stored["uncounted"])
    return Booked(pages, set(partial), set(uncounted))


@dataclass(slots=True)
class Booking:
    """One reading of all pages. before: None at the very first, which books nothing: what was
    counted before it is not metered."""

    scan: Scan
    pages: dict[str, Page]
    before: Booked | None
    owner_of: Callable[[int], int | None]
    """The user of a running process; None when it has gone."""
    now: Booked = field(default_factory=Booked)
    readings: Readings = field(default_factory=lambda: Readings(default=UNAVAILABLE))

    def known(self, name: str) -> tuple[str, Values] | None:
        return self.before.pages.get(name) if self.before is not None else None

    def keep(self, name: str) -> None:
        """Book nothing of a page now, and go on from what was booked of it."""
        known = self.known(name)
        if known is not None:
            self.now.pages[name] = known

    def book_ended(self, name: str, page: Page) -> None:
        known = self.known(name)
        self.book(name, page, known[0] if known is not None else self._heir(page))

    def book(self, name: str, page: Page, application: str) -> None:
        values = (*page.opened, page.received, page.sent)
        self.now.pages[name] = (application, values)
        if page.network_uncounted:
            self.now.uncounted.add(application)
        if self.before is not None:
            known = self.known(name)
            self._add(application, values, known[1] if known is not None else (0,) * len(values))

    def _add(self, application: str, values: Values, former: Values) -> None:
        counters = self.readings.counters.get(application)
        if counters is None:
            counters = self.readings.counters[application] = dict.fromkeys(UNAVAILABLE, 0)
        if values == former:
            return
        if any(value < known for value, known in zip(values, former, strict=True)):
            self.readings.marks.setdefault(application, set()).add(COUNTER_RESET)
            return
        for meter, value, known in zip(_METERS, values, former, strict=True):
            counters[meter] = min(counters[meter] + value - known, VALUE_MAX)
        counters[_TOTAL] = min(sum(counters[meter] for meter in _OPENED), VALUE_MAX)

    def qualify(self, *, complete: bool) -> Readings:
        """Exact is only what holds all of an application's processes, now and at the last scan.

        complete: all pages that there are were read."""
        covered = {(page.pid, page.start) for page in self.pages.values()}
        applications = {application for application, _ in self.now.pages.values()}
        for reading in self.scan.table.processes.values():
            if reading.application in applications and not (complete and reading.key in covered):
                self.now.partial.add(reading.application)
        former = self.before or Booked()
        partial = self.now.partial | former.partial
        uncounted = self.now.uncounted | former.uncounted
        for application in applications:
            how = _PARTIAL if application in partial else _WHOLE
            if how is _WHOLE and application in uncounted:
                how = _WHOLE | _NETWORK_PARTIAL
            self.readings.measured[application] = how
        self.readings.state = self.now.encoded()
        return self.readings

    def _heir(self, page: Page) -> str:
        """Whose a process was that began and ended between two scans: its nearest known
        ancestor's, as for CPU time. Anyone may write any parent into a page of his own: a parent
        of another user counts only where root made the page."""
        named = {other.pid: name for name, other in self.pages.items()}
        parent = page.parent
        for _ in range(ANCESTORS_MAX):
            if parent <= INIT:
                return _service(page)
            running = self.scan.table.processes.get(parent)
            if running is not None:
                trusted = page.owner in (ROOT, self.owner_of(parent))
                return running.application if trusted else UNATTRIBUTED
            name = named.get(parent)
            if name is None or page.owner not in (ROOT, self.pages[name].owner):
                return UNATTRIBUTED
            known = self.known(name)
            if known is not None:
                return known[0]
            parent = self.pages[name].parent
        return UNATTRIBUTED


def _service(page: Page) -> str:
    """The application of a cgroup of its own, where root says so."""
    if page.owner != ROOT:
        return UNATTRIBUTED
    try:
        cgroup = cgroups.application_cgroup(cgroups.path_of_process(page.cgroup))
    except ValueError:  # cut off: it was longer than its place in the page
        return UNATTRIBUTED
    return UNATTRIBUTED if cgroup is None else naming.clean(cgroups.application_name(cgroup))
