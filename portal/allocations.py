"""What was spread of hosts' hours to an application, posting by posting, to be redone by hand."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from metering.core.cloudevents import ALLOCATED_TYPE
from metering.core.posting import spread_meter
from metering.stated_models import Event
from portal.formatting import exact
from portal.proof import LineSource


@dataclass(frozen=True, slots=True)
class PostingRow:
    """One posting: when it was made, what it follows from in words, and its quantity."""

    posted_at: datetime
    host: str
    hour: str
    of_host: str
    of_application: str
    quantity: int


def is_allocated(source: LineSource) -> bool:
    return spread_meter(source.meter) is not None


def postings_at(source: LineSource, start: datetime, instance_id: UUID | None) -> "QuerySet[Event]":
    """The postings of one bucket, oldest first; of one instance alone if named."""
    rows = Event.objects.filter(
        type=ALLOCATED_TYPE,
        application=source.application,
        bucket_start=start,
        meter=source.meter,
    ).order_by("received_at", "source", "event_id")
    return rows if instance_id is None else rows.filter(instance=instance_id)


def posting_row(posting: Event) -> PostingRow:
    return PostingRow(
        posting.received_at,
        posting.data["host"],
        posting.data["hour"],
        _of_host(posting.data),
        _of_application(posting.data),
        posting.quantity,
    )


def _of_host(data: Mapping[str, Any]) -> str:
    used, unattributed = exact(data["host_used"]), exact(data["host_unattributed"])
    if data["host_idle"] is None:
        return f"used {used}; unattributed {unattributed}; idle not known"
    return (
        f"capacity {exact(data['capacity'])} - used {used} - unattributed {unattributed} "
        f"= idle {exact(data['host_idle'])}"
    )


def _of_application(data: Mapping[str, Any]) -> str:
    """A part of a pool p is floor(p·(b+w)/W) - floor(p·b/W)."""
    weights = (
        f"w {exact(data['weight'])}, b {exact(data['weight_before'])}, "
        f"W {exact(data['host_weight'])}"
    )
    rule = data["rule"].replace("_", " ")
    parts = f"idle {exact(data['idle'])} + unattributed {exact(data['unattributed'])}"
    before = f" - {exact(data['posted_before'])} posted before" if data["posted_before"] else ""
    return f"{rule}, {weights}: {parts}{before}"
