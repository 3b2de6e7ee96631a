"""Questions about usage."""

from datetime import datetime, timedelta
from typing import Annotated, Final, get_args
from uuid import UUID

from django.db.models import Q
from ninja import Query
from pydantic import Field, StringConstraints

from metering.api.applications import visible_applications
from metering.models import Assignment
from metering.queries import completeness
from metering.usage_points import Bucket, Group, Point, TooManyPoints, usage_points
from metering.usage_rows import UsagePeriod
from tenants.api.caller import ApiRequest
from tenants.api.errors import unprocessable
from tenants.api.fields import Given, Instant, Taken, TimeZoneName
from tenants.api.resources import Resources

usage = Resources()

METERS_MAX: Final = 12
_GROUPS: Final[tuple[Group, ...]] = get_args(Group)
_LENGTH_MAX: Final[dict[Bucket, timedelta]] = {
    "5m": timedelta(days=7),
    "hour": timedelta(days=100),
    "day": timedelta(days=400),
    "month": timedelta(days=400),
    "none": timedelta(days=400),
}


class UsageQuestion(Taken):
    """`meter` and `group_by` take several, with commas between them. Usage of a customer is that
    of its applications while they were billed to it."""

    meter: Annotated[
        str,
        StringConstraints(
            min_length=1, max_length=800, pattern=r"^[a-z0-9._]{1,64}(,[a-z0-9._]{1,64}){0,11}$"
        ),
    ]
    start: Annotated[Instant, Field(alias="from")]
    end: Annotated[Instant, Field(alias="to", description="Exclusive.")]
    bucket: Bucket = "none"
    time_zone: TimeZoneName = "UTC"
    group_by: Annotated[
        str | None,
        Field(description="application, environment, instance, meter; meters are always apart."),
        StringConstraints(max_length=60, pattern="^[a-z]+(,[a-z]+){0,3}$"),
    ] = None
    application: UUID | None = None
    environment: UUID | None = None
    customer: UUID | None = None


class PointOut(Given):
    """`quantity` is a whole number as text, exact, in the meter's small unit: it can pass 2^53.
    What was not measured at all has no point; it is not 0."""

    start: Instant
    meter: str
    application_id: UUID | None
    environment_id: UUID | None
    instance_id: UUID | None
    quantity: str
    qualities: list[str]


class UsageOut(Given):
    """Hosts that report have delivered up to `complete_to`; null before any has."""

    complete_to: Instant | None
    points: list[PointOut]


@usage.reading("/usage", scope="usage:read", answers=UsageOut, summary="Query usage")
def get_usage(request: ApiRequest, question: Query[UsageQuestion]) -> UsageOut:
    if question.end <= question.start:
        raise unprocessable(("to", "it is not after from"))
    if question.end - question.start > _LENGTH_MAX[question.bucket]:
        days = _LENGTH_MAX[question.bucket].days
        raise unprocessable(("to", f"with this bucket at most {days} days"))
    periods = _periods(request, question)
    try:
        points = usage_points(
            periods,
            list(dict.fromkeys(question.meter.split(","))),
            bucket=question.bucket,
            time_zone=question.time_zone,
            groups=_groups(question.group_by),
        )
    except TooManyPoints as refusal:
        reason = f"{refusal}: take a larger bucket, less time or fewer groups"
        raise unprocessable(("bucket", reason)) from refusal
    known = completeness(request.as_of, [period.application_id for period in periods])
    return UsageOut(complete_to=known.complete_to, points=[_shown(point) for point in points])


def _groups(written: str | None) -> list[Group]:
    wanted = set(written.split(",")) if written else set()
    unknown = wanted - {*_GROUPS, "meter"}
    if unknown:
        raise unprocessable(("group_by", f"it takes {', '.join(_GROUPS)} and meter"))
    return [group for group in _GROUPS if group in wanted]


def _periods(request: ApiRequest, question: UsageQuestion) -> list[UsagePeriod]:
    applications = visible_applications(request.caller)
    if question.application is not None:
        applications = applications.filter(pk=question.application)
    if question.environment is not None:
        applications = applications.filter(environment=question.environment)
    if question.customer is None and request.caller.customer_id is None:
        ids = applications.values_list("pk", flat=True)
        return [UsagePeriod(each, question.start, question.end) for each in ids]
    billed = Assignment.objects.filter(
        request.caller.own("customer"),
        Q(ends_at__isnull=True) | Q(ends_at__gt=question.start),
        application__in=applications,
        starts_at__lt=question.end,
    )
    if question.customer is not None:
        billed = billed.filter(customer=question.customer)
    rows = billed.values_list("application_id", "starts_at", "ends_at")
    return [_clipped(*row, question) for row in rows]


def _clipped(
    application_id: UUID, start: datetime, end: datetime | None, question: UsageQuestion
) -> UsagePeriod:
    until = question.end if end is None else min(end, question.end)
    return UsagePeriod(application_id, max(start, question.start), until)


def _shown(point: Point) -> PointOut:
    return PointOut(
        start=point.start,
        meter=point.meter,
        application_id=point.keys.get("application"),
        environment_id=point.keys.get("environment"),
        instance_id=point.keys.get("instance"),
        quantity=str(point.quantity),
        qualities=list(point.qualities),
    )
