"""Why this price: from a line to its rate, its days, its 5-minute buckets and their samples.

Each page exists twice: below a stored invoice and below the upcoming one. What differs is how the
line is found; `_Found` is what both ways lead to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.core.paginator import Paginator
from django.db.models import Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_safe

from billing.core.explanation import how_read
from billing.core.prices import Flat, Percentage
from billing.models import InvoiceLine, PlanVersion, Price
from metering.gaps import gaps_in
from metering.queries import RollupRow, samples_of
from portal import proof
from portal.access import Reader, customer_page, is_uuid
from portal.allocations import is_allocated, posting_row, postings_at
from portal.charges import Charge, is_charge, stored_charge, upcoming_charge
from portal.chart import Chart, Slot
from portal.formatting import buckets_in_words
from portal.kept import invoice_so_far
from portal.proof import LineFigures, LineNotFound, LineSource
from portal.queries import meter_chart, quantities_by_day, usage_chart
from portal.rates import rate_of
from portal.step_words import said_again

_BUCKETS_PER_PAGE: Final = 96
_SAMPLES_PER_PAGE: Final = 200
_POSTINGS_PER_PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class _Found:
    """A line, and the address that its days and buckets stand below."""

    source: LineSource
    url: str


def _upcoming(reader: Reader, price_id: UUID, application_id: UUID) -> _Found:
    try:
        source = proof.upcoming_source(
            reader.customer, price_id, application_id, as_of=reader.as_of
        )
    except LineNotFound as absent:
        raise Http404 from absent
    return _Found(source, reverse("portal:upcoming-line", args=[price_id, application_id]))


def _stored_line(reader: Reader, invoice_id: UUID, line_id: UUID) -> InvoiceLine:
    try:
        return proof.stored_line(reader.customer, invoice_id, line_id)
    except LineNotFound as absent:
        raise Http404 from absent


def _usage_of(reader: Reader, line: InvoiceLine) -> tuple[_Found, LineFigures]:
    try:
        source = proof.stored_source(reader.customer, line)
    except LineNotFound as absent:
        raise Http404 from absent
    url = reverse("portal:invoice-line", args=[line.invoice_id, line.pk])
    return _Found(source, url), proof.stored_figures(line)


def _stored(reader: Reader, invoice_id: UUID, line_id: UUID) -> tuple[_Found, LineFigures]:
    return _usage_of(reader, _stored_line(reader, invoice_id, line_id))


@customer_page
@require_safe
def upcoming_line(
    request: HttpRequest, reader: Reader, price_id: UUID, application_id: UUID
) -> HttpResponse:
    found = _upcoming(reader, price_id, application_id)
    try:
        upcoming = invoice_so_far(reader.customer, as_of=reader.as_of)
        lines = [] if upcoming is None else upcoming.lines_of([application_id])
        figures = proof.upcoming_figures(found.source, lines, request.GET.dict())
    except LineNotFound as absent:
        raise Http404 from absent
    return _line(request, reader, found, figures)


@customer_page
@require_safe
def upcoming_line_day(
    request: HttpRequest, reader: Reader, price_id: UUID, application_id: UUID, day: date
) -> HttpResponse:
    return _day(request, reader, _upcoming(reader, price_id, application_id), day)


@customer_page
@require_safe
def upcoming_line_bucket(
    request: HttpRequest, reader: Reader, price_id: UUID, application_id: UUID, start: datetime
) -> HttpResponse:
    return _bucket(request, reader, _upcoming(reader, price_id, application_id), start)


@customer_page
@require_safe
def invoice_line(
    request: HttpRequest, reader: Reader, invoice_id: UUID, line_id: UUID
) -> HttpResponse:
    line = _stored_line(reader, invoice_id, line_id)
    if is_charge(line):
        return _charge(request, reader, stored_charge(line), line_id=line_id)
    return _line(request, reader, *_usage_of(reader, line), line_id=line_id)


@customer_page
@require_safe
def upcoming_line_without_usage(request: HttpRequest, reader: Reader, key: str) -> HttpResponse:
    upcoming = invoice_so_far(reader.customer, as_of=reader.as_of)
    line = None if upcoming is None else upcoming.charge_of(key)
    if upcoming is None or line is None:
        raise Http404
    charge = upcoming_charge(
        upcoming.head.subscription, upcoming.plan_version, upcoming.period, line
    )
    return _charge(request, reader, charge)


def _charge(
    request: HttpRequest, reader: Reader, charge: Charge, *, line_id: UUID | None = None
) -> HttpResponse:
    context = {
        "line_id": line_id,
        "reader": reader,
        "section": "invoices",
        "charge": charge,
        "invoice": charge.invoice,
        "figures": charge.figures,
        "steps": charge.figures.steps,
        "flat": charge.spec.model if charge.spec and isinstance(charge.spec.model, Flat) else None,
        "percentage": (
            charge.spec.model if charge.spec and isinstance(charge.spec.model, Percentage) else None
        ),
    }
    return render(request, "portal/charge.html", context)


@customer_page
@require_safe
def invoice_line_day(
    request: HttpRequest, reader: Reader, invoice_id: UUID, line_id: UUID, day: date
) -> HttpResponse:
    return _day(request, reader, _stored(reader, invoice_id, line_id)[0], day)


@customer_page
@require_safe
def invoice_line_bucket(
    request: HttpRequest, reader: Reader, invoice_id: UUID, line_id: UUID, start: datetime
) -> HttpResponse:
    return _bucket(request, reader, _stored(reader, invoice_id, line_id)[0], start)


def _context(reader: Reader, found: _Found) -> dict[str, object]:
    source = found.source
    return {
        "reader": reader,
        "section": "invoices",
        "source": source,
        "invoice": source.invoice,
        "application": source.application,
        "meter": source.meter,
        "is_allocated": is_allocated(source),
        "line_url": found.url,
    }


def _line(
    request: HttpRequest,
    reader: Reader,
    found: _Found,
    figures: LineFigures,
    *,
    line_id: UUID | None = None,
) -> HttpResponse:
    source = found.source
    by_day = quantities_by_day(
        source.own, source.meter, reader.customer.time_zone, without=source.refused
    )
    refused = proof.refused_by_day(source, source.own, reader.zone)
    total = source.combined(list(by_day.values()))
    version: PlanVersion = source.price.plan_version
    spec = source.spec_of(figures.steps)
    rate = rate_of(spec, figures.attributes, figures.steps)
    shares = rate is not None and rate.is_shared
    context = _context(reader, found) | {
        "line_id": line_id,
        "figures": figures,
        "spec": spec,
        "rate": rate,
        "counted_as": said_again(how_read(spec.reading)) if spec.reading else "",
        "accepted": [
            gettext(each.label) for each in Price.Quality if each in source.price.accepted_qualities
        ],
        "shares_its_price": shares,
        # What others used matters where an allowance or tiers are shared with them.
        "steps": [step for step in figures.steps if shares or step["kind"] != "earlier"],
        "plan_version": source.invoice.plan_label if source.invoice else version,
        "days": [
            (day, by_day.get(day, 0), Decimal(by_day.get(day, 0)), refused.get(day))
            for day in sorted({*by_day, *refused})
        ],
        "refused": refused,
        "gaps": gaps_in(source.own),
        "buckets_in_words": buckets_in_words(
            proof.bucket_count(source.own, source.refused), len({*by_day, *refused})
        ),
        "total": total,
        "total_decimal": Decimal(total),
        "largest": Decimal(max(by_day.values(), default=0)),
        "difference": total - figures.raw_quantity,
        "weighed": _weighs(source.price, version),
        "chart": usage_chart(by_day, source.meter, source.period, reader.zone, as_of=reader.as_of),
    }
    return render(request, "portal/line.html", context)


def _weighs(price: Price, version: PlanVersion) -> bool:
    """Whether a line's quantity can be other than what its buckets come to: some are left out,
    filled in, weighed by their role or ranked."""
    ranked = {Price.Aggregation.PERCENTILE, Price.Aggregation.PEAK, Price.Aggregation.UNIQUE}
    return (
        price.kind == Price.Kind.MATRIX
        or price.aggregation in ranked
        or {version.primary_factor, version.replica_factor, version.standby_factor} != {1}
        or price.meter.startswith("transactions")
        or version.primaries == PlanVersion.Primaries.ONE
        or version.gaps in {PlanVersion.Gaps.HELD, PlanVersion.Gaps.INTERPOLATED}
    )


def _day(request: HttpRequest, reader: Reader, found: _Found, day: date) -> HttpResponse:
    source = found.source
    try:
        periods = source.on(day, reader.zone)
    except (OverflowError, ValueError) as impossible:
        raise Http404 from impossible
    if not periods:
        raise Http404
    zone = reader.customer.time_zone
    quantities = quantities_by_day(periods, source.meter, zone, without=source.refused)
    pages = Paginator(range(proof.bucket_count(periods)), _BUCKETS_PER_PAGE)
    page = pages.get_page(request.GET.get("page"))
    offset = max(page.start_index() - 1, 0)
    rollups = proof.rollup_page(periods, _BUCKETS_PER_PAGE, offset)
    context = _context(reader, found) | {
        "day": day,
        "total": source.combined(list(quantities.values())),
        "pages": page,
        "buckets": proof.bucket_count(periods, source.refused),
        "refused": proof.refused_by_day(source, periods, reader.zone).get(day),
        "rows": [
            (row, row.usage.get(source.meter), hows, source.is_billed(row))
            for row, hows in zip(rollups, proof.measured_of(rollups, source.meter), strict=True)
        ],
        "chart": _hours(source, day, reader),
    }
    return render(request, "portal/line_day.html", context)


def _hours(source: LineSource, day: date, reader: Reader) -> Chart:
    """One day's usage, a bar for each hour: 23 or 25 where the clocks change."""
    used = proof.quantities_by_hour(source, day, reader.zone)
    hour = timedelta(hours=1)
    slots = [
        Slot(f"{local:%H}", f"{local:%H:%M}", is_open=local <= reader.as_of < local + hour)
        for local in (start.astimezone(reader.zone) for start in used)
    ]
    return meter_chart(slots, list(used.values()), source.meter)


def _bucket(request: HttpRequest, reader: Reader, found: _Found, start: datetime) -> HttpResponse:
    source = found.source
    wanted = request.GET.get("instance")
    instance_id = UUID(wanted) if wanted and is_uuid(wanted) else None
    try:
        rollups = proof.bucket_rollups(source, start, instance_id)
    except LineNotFound as absent:
        raise Http404 from absent
    if is_allocated(source):
        return _allocated(request, reader, found, rollups, start, instance_id)
    count = sum(row.samples for row in rollups)
    page = Paginator(range(count), _SAMPLES_PER_PAGE).get_page(request.GET.get("page"))
    samples = samples_of(
        source.application.pk,
        start,
        instance_id=instance_id,
        limit=_SAMPLES_PER_PAGE,
        offset=max(page.start_index() - 1, 0),
    )
    digests = proof.digests_of(samples)
    unbilled = {(row.instance_id, row.role) for row in rollups if not source.is_billed(row)}
    shown = [(sample, (sample.instance_id, sample.role) not in unbilled) for sample in samples]
    context = _context(reader, found) | {
        "start": start,
        "end": start + proof.BUCKET,
        "day": start.astimezone(reader.zone).date(),
        "instance": rollups[0] if instance_id is not None and rollups else None,
        "pages": page,
        "instance_query": f"instance={instance_id}" if instance_id else "",
        "samples": [
            (
                sample,
                sample.usage.get(source.meter),
                digests[sample.batch_id],
                sample.profile.of(source.meter) if sample.profile else None,
                is_billed,
            )
            for sample, is_billed in shown
        ],
        "has_unbilled": bool(unbilled),
        "billed_samples": sum(is_billed for _, is_billed in shown),
        "shown": source.combined(
            proof.quantities([sample for sample, billed in shown if billed], source.meter)
        ),
        "total": source.combined(
            proof.quantities([row for row in rollups if source.is_billed(row)], source.meter)
        ),
    }
    return render(request, "portal/line_bucket.html", context)


def _allocated(
    request: HttpRequest,
    reader: Reader,
    found: _Found,
    rollups: Sequence[RollupRow],
    start: datetime,
    instance_id: UUID | None,
) -> HttpResponse:
    """A bucket that no sample shows: what was spread of hosts' hours, posting by posting."""
    source = found.source
    postings = postings_at(source, start, instance_id)
    page = Paginator(postings, _POSTINGS_PER_PAGE).get_page(request.GET.get("page"))
    context = _context(reader, found) | {
        "start": start,
        "day": start.astimezone(reader.zone).date(),
        "pages": page,
        "instance_query": f"instance={instance_id}" if instance_id else "",
        "postings": [posting_row(each) for each in page],
        "shown": int(postings.aggregate(quantity=Sum("quantity"))["quantity"] or 0),
        "total": source.combined(proof.quantities(rollups, source.meter)),
    }
    return render(request, "portal/line_postings.html", context)
