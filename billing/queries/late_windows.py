"""Which hours of an issued invoice's period changed, and by which batches and corrections."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet

from billing.models import Invoice, InvoiceLine, LateUsage
from metering.cuts import Cut
from metering.models import Sample, SampleBatch
from metering.stated_models import Correction

# Of one line; the rest is counted.
WINDOWS_SHOWN_MAX: Final = 50
BATCHES_SHOWN_MAX: Final = 20
CORRECTIONS_SHOWN_MAX: Final = 20
_HOUR: Final = timedelta(hours=1)


def pending_late_usage(invoice: Invoice) -> "QuerySet[LateUsage]":
    """The marks of the invoice that nobody has looked at yet."""
    return LateUsage.objects.filter(invoice=invoice, refused_at__isnull=True)


def changed_windows(invoice: Invoice, application_id: UUID | None, since: Cut) -> dict[str, Any]:
    """The hours of the application that changed, when that became known, and by what that was not
    there at the cut `since`: batches that were received for them, corrections that were made. Of
    hours whose usage was `refused` once that is said."""
    marks = LateUsage.objects.filter(invoice=invoice, hour__isnull=False)
    if application_id is not None:
        marks = marks.filter(application=application_id)
    noted: defaultdict[datetime, list[datetime]] = defaultdict(list)
    refused: set[datetime] = set()
    for hour, noted_at, refused_at in marks.values_list("hour", "noted_at", "refused_at"):
        if hour is not None:
            noted[hour].append(noted_at)
            refused |= {hour} if refused_at else set()
    stretches = _stretches(noted)
    shown = stretches[:WINDOWS_SHOWN_MAX]
    return {
        "windows": [
            {
                "from": utc_text(start),
                "to": utc_text(end),
                "changed": [
                    utc_text(
                        pick(at for hour in noted if start <= hour < end for at in noted[hour])
                    )
                    for pick in (min, max)
                ],
                "batches": _batches(application_id, start, end, since),
                "corrections": _corrections(application_id, start, end, since),
                **({"refused": True} if any(start <= hour < end for hour in refused) else {}),
            }
            for start, end in shown
        ],
        "more_windows": len(stretches) - len(shown),
    }


def changed_hours(line: InvoiceLine) -> Iterator[tuple[datetime, datetime]]:
    """The hours that a line of late usage shows as changed, each with when that became known."""
    for window in line.facts["windows"]:
        hour, end = (datetime.fromisoformat(window[name]) for name in ("from", "to"))
        while hour < end:
            yield hour, datetime.fromisoformat(window["changed"][0])
            hour += _HOUR


def _stretches(hours: Iterable[datetime]) -> list[tuple[datetime, datetime]]:
    found: list[tuple[datetime, datetime]] = []
    for hour in sorted(hours):
        if found and found[-1][1] == hour:
            found[-1] = (found[-1][0], hour + _HOUR)
        else:
            found.append((hour, hour + _HOUR))
    return found


def _batches(
    application_id: UUID | None, start: datetime, end: datetime, since: Cut
) -> list[dict[str, Any]]:
    """Batches with samples of the hours that were not there at the cut."""
    if application_id is None:
        return []
    samples = Sample.objects.filter(
        application_id=application_id, window_start__gte=start, window_start__lt=end
    )
    batches = (
        SampleBatch.objects.filter(pk__in=samples.values("batch"))
        .exclude(since.holds("received_at"))
        .select_related("host")
        .order_by("received_at", "sequence")
    )
    return [
        {
            "host": batch.host.name,
            "epoch": str(batch.epoch),
            "sequence": batch.sequence,
            "received_at": utc_text(batch.received_at),
        }
        for batch in batches[:BATCHES_SHOWN_MAX]
    ]


def _corrections(
    application_id: UUID | None, start: datetime, end: datetime, since: Cut
) -> list[dict[str, Any]]:
    """Corrections of the hours that were not there at the cut, in their order."""
    if application_id is None:
        return []
    overlapping = Correction.objects.filter(
        application_id=application_id, starts_at__lt=end, ends_at__gt=start
    )
    made = overlapping.exclude(since.holds("created_at")).order_by("created_at", "pk")
    return [
        {
            "kind": each.kind,
            "from": utc_text(each.starts_at),
            "to": utc_text(each.ends_at),
            "reason": each.reason,
            "author": each.author,
            "made_at": utc_text(each.created_at),
        }
        for each in made[:CORRECTIONS_SHOWN_MAX]
    ]


def utc_text(moment: datetime) -> str:
    """As lines say an instant."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
