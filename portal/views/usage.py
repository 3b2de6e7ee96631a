"""The usage explorer: any meter, any time, down to the samples of signed batches."""

from datetime import datetime
from functools import partial
from typing import Any, BinaryIO, Final
from uuid import UUID

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext
from django.views.decorators.http import require_safe

from billing.billable import assigned_periods
from billing.core.periods import Period
from billing.documents.focus import COLUMNS, Version
from billing.documents.tabular import csv_rows
from billing.downloads import note_download, spooled_response
from metering.allocation_rules import meters_with_rules
from metering.core.buckets import BUCKET
from metering.core.posting import allocated_meter
from metering.core.quality import Measured
from metering.gaps import gaps_in
from metering.queries import SampleRow, rollups_of, samples_of
from metering.usage_points import TooManyPoints
from portal import proof
from portal.access import Reader, customer_page, is_uuid
from portal.billed_qualities import billed_qualities
from portal.explorer import explored
from portal.freshness import freshness_of
from portal.queries import applications_of, period_of
from portal.usage_costs import TooManyCharges, costs_of, focus_of, is_charged_by
from portal.usage_file import write_usage
from portal.usage_links import address_of_days, address_of_time, months_of, shown_row, way_down
from portal.usage_question import Question, QuestionForm, meter_names
from portal.views.documents import asked_version

_SHOWN_FIRST: Final = "cpu.time"
_SAMPLES_PER_PAGE: Final = 200
_ROLLUPS_MAX: Final = 1_000


@customer_page
@require_safe
def usage_page(request: HttpRequest, reader: Reader) -> HttpResponse:
    form = _form(request.GET, reader)
    context: dict[str, Any] = {"reader": reader, "section": "usage", "form": form}
    if form.is_valid():
        try:
            context |= _answer(form.question, reader)
        except TooManyPoints:
            form.add_error("group", _too_much())
    return render(request, "portal/usage.html", context)


@customer_page
@require_safe
def usage_file(request: HttpRequest, reader: Reader) -> HttpResponseBase:
    """What the page shows, all of it, as CSV."""
    form = _form(request.GET, reader)
    if not form.is_valid():
        return _refused(_problems(form))
    question = form.question
    way_down(question, reader.customer)
    name = f"usage-{question.meter}-{question.first}-{question.last}.csv"
    write = partial(write_usage, customer=reader.customer, question=question, zone=reader.zone)
    try:
        answer = spooled_response(write, name, "text/csv; charset=utf-8")
    except TooManyPoints:
        return _refused(_too_much())
    note_download(name, customer=reader.customer.pk, as_of=reader.as_of)
    return answer


@customer_page
@require_safe
def usage_focus(request: HttpRequest, reader: Reader) -> HttpResponseBase:
    """What the invoiced periods among the page's days charge for what it shows, as FOCUS."""
    version = asked_version(request.GET.get("version", "1.3"))
    form = _form(request.GET, reader)
    if not form.is_valid():
        return _refused(_problems(form))
    question = form.question
    way_down(question, reader.customer)
    if not is_charged_by(question):
        return _refused(gettext("Charges are of applications, not of instances or hosts."))
    meter = question.meter if question.key else "all-meters"
    name = f"focus-{meter}-{question.first}-{question.last}.csv"
    write = partial(_write_focus, reader=reader, question=question, version=version)
    try:
        answer = spooled_response(write, name, "text/csv; charset=utf-8")
    except TooManyCharges:
        return _refused(_too_much())
    note_download(name, customer=reader.customer.pk, as_of=reader.as_of)
    return answer


def _write_focus(file: BinaryIO, *, reader: Reader, question: Question, version: Version) -> None:
    rows = focus_of(reader.customer, question, reader.zone, version)
    for record in csv_rows(COLUMNS[version], rows):
        file.write(record.encode())


def _problems(form: QuestionForm) -> str:
    said = [f"{name}: {' '.join(map(str, errors))}" for name, errors in form.errors.items()]
    return "\n".join(said)


def _refused(words: str) -> HttpResponse:
    return HttpResponse(words, content_type="text/plain; charset=utf-8", status=400)


def _too_much() -> str:
    return gettext("That is too much at once: choose less time, or one application.")


def _form(data: QueryDict, reader: Reader) -> QuestionForm:
    first = period_of(reader.customer, as_of=reader.as_of).start.astimezone(reader.zone).date()
    today = reader.as_of.astimezone(reader.zone).date()
    default = Question(_SHOWN_FIRST, first, today, "day", "application")
    said = {name: str(data[name]) for name in data}
    return QuestionForm(said, _meters(), default)


def _meters() -> list[str]:
    return meter_names([allocated_meter(each) for each in meters_with_rules()])


def _answer(question: Question, reader: Reader) -> dict[str, Any]:
    crumbs = way_down(question, reader.customer)
    own = [question.application] if question.application else _application_ids(reader)
    freshness = freshness_of(own, as_of=reader.as_of)
    found = explored(
        reader.customer, question, _meters(), known_to=freshness.known_to, as_of=reader.as_of
    )
    costs = costs_of(reader.customer, question, reader.zone)
    billed = billed_qualities(reader.customer, question.meter, as_of=reader.as_of)
    return {
        "question": question,
        "crumbs": crumbs,
        "freshness": freshness,
        "found": found,
        "chart": found.chart,
        "rows": [shown_row(row, question, billed.refused(row.measured)) for row in found.rows],
        "places": [
            (place, address_of_time(place, question, reader.zone), slot)
            for place, slot in zip(found.places, found.chart.slots, strict=True)
        ],
        "billed": billed,
        "gaps": gaps_in(found.periods) if question.application else [],
        "months": months_of(question),
        "costs": costs,
        "latest_costs": address_of_days(costs.latest, question) if costs.latest else "",
    }


def _application_ids(reader: Reader) -> list[UUID]:
    return list(applications_of(reader.customer).values_list("pk", flat=True))


@customer_page
@require_safe
def usage_samples(
    request: HttpRequest, reader: Reader, application_id: UUID, start: datetime
) -> HttpResponse:
    """The samples of one application's 5 minutes, with the signed batch that each came in."""
    application = get_object_or_404(applications_of(reader.customer), pk=application_id)
    own = assigned_periods(reader.customer, Period(start, start + BUCKET))
    if application_id not in {each.application_id for each in own}:
        raise Http404
    wanted = request.GET.get("instance")
    instance_id = UUID(wanted) if wanted and is_uuid(wanted) else None
    meter = request.GET.get("meter", _SHOWN_FIRST)
    meter = meter if meter in _meters() else _SHOWN_FIRST
    rollups = [
        each
        for each in rollups_of(application_id, start, start + BUCKET, _ROLLUPS_MAX)
        if instance_id in {None, each.instance_id}
    ]
    count = sum(each.samples for each in rollups)
    page = Paginator(range(count), _SAMPLES_PER_PAGE).get_page(request.GET.get("page"))
    samples = samples_of(
        application_id,
        start,
        instance_id=instance_id,
        limit=_SAMPLES_PER_PAGE,
        offset=max(page.start_index() - 1, 0),
    )
    digests = proof.digests_of(samples)
    instance = f"&instance={instance_id}" if instance_id else ""
    day = start.astimezone(reader.zone).date()
    above = Question(meter, day, day, "5m", "instance", application=application_id)
    context = {
        "reader": reader,
        "section": "usage",
        "application": application,
        "meter": meter,
        "start": start,
        "end": start + BUCKET,
        "above": above.but(),
        "rollups": [(each, each.usage.get(meter)) for each in rollups],
        "samples": [
            (each, each.usage.get(meter), digests[each.batch_id], _measured(each, meter))
            for each in samples
        ],
        "pages": page,
        "query": f"meter={meter}{instance}",
    }
    return render(request, "portal/usage_samples.html", context)


def _measured(sample: SampleRow, meter: str) -> Measured | None:
    return sample.profile.of(meter) if sample.profile else None
