"""Up to when the usage behind a page is known, and which hosts keep it from being known further."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from metering.queries import SilentHost, completeness

LATE_AFTER: Final = timedelta(seconds=120)


@dataclass(frozen=True, slots=True)
class Freshness:
    """The hosts that report have delivered up to `complete_to`; the silent ones are named."""

    complete_to: datetime | None
    silent_hosts: tuple[SilentHost, ...]
    as_of: datetime

    @property
    def silent_since(self) -> datetime | None:
        """Where the usage of the silent host that stopped first ends; None if none ever began."""
        known = (host.complete_to for host in self.silent_hosts)
        return min((moment for moment in known if moment is not None), default=None)

    @property
    def known_to(self) -> datetime | None:
        """What a page names: without a host that reports, where the silent ones stopped."""
        return self.complete_to or self.silent_since

    @property
    def is_late(self) -> bool:
        behind = None if self.complete_to is None else self.as_of - self.complete_to
        return bool(self.silent_hosts) or behind is None or behind > LATE_AFTER


def freshness_of(application_ids: Sequence[UUID], *, as_of: datetime) -> Freshness:
    """How far the usage of some applications is known."""
    known = completeness(as_of, application_ids)
    return Freshness(known.complete_to, known.silent_hosts, as_of)
