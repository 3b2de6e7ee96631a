"""From an invoice line down to the samples: what was billed, from when to when, and the rows.

A line's source is the same for the upcoming invoice and for a stored one: a price, an application
and the stretches of time in which its usage is the customer's.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from hostmeter_agent.wire import BUCKET_SECONDS

from billing.core.contract import Contract, priced_spans
from billing.core.explanation import StepJson
from billing.core.periods import Period
from billing.core.provenance import Provenance
from billing.core.quantity import raw_unit_of
from billing.core.rating import PriceSpec, RatedLine
from billing.core.spans import PricedSpan
from billing.models import Invoice, InvoiceLine, Price
from billing.prices import price_spec
from billing.queries import (
    PlanHasNoVersion,
    current_period,
    subscription_of,
)
from billing.queries.agreed import NotQuotedInCurrency
from billing.queries.contracts import contract_of
from billing.queries.frozen import invoiced_contract
from billing.queries.periods import period_of
from metering.core.aggregation import combined_quantities
from metering.core.quality import Measured
from metering.measurements import Wanted, measured_by, profiles, refused_profiles
from metering.models import Application, SampleBatch
from metering.queries import RollupRow, SampleRow, rollup_count, rollups_of
from metering.usage import quantity_with_by_day, usage_series
from metering.usage_rows import UsagePeriod
from portal.queries import own_periods
from tenants.models import Customer

BUCKET: Final = timedelta(seconds=BUCKET_SECONDS)
# Of one bucket; the wire contract bounds the samples of a batch, not the instances.
_INSTANCES_MAX: Final = 10_000


class LineNotFound(Exception):
    """The customer has no such line."""


@dataclass(frozen=True, slots=True)
class LineSource:
    """What a line was counted from."""

    price: Price
    application: Application
    period: Period
    own: tuple[UsagePeriod, ...]
    invoice: Invoice | None
    # The profiles whose usage the price does not accept.
    refused: frozenset[UUID]
    # The price as it is agreed with the customer, once for each part of the period.
    agreed: tuple[PricedSpan, ...]

    @property
    def meter(self) -> str:
        return self.price.meter

    @property
    def raw_unit(self) -> str:
        return raw_unit_of(self.price.meter)

    @property
    def combines_by_maximum(self) -> bool:
        return self.price.aggregation == Price.Aggregation.MAXIMUM

    def spec_of(self, steps: Sequence[StepJson]) -> PriceSpec:
        """The price that a line with these steps was rated by: the customer's own where they name
        one."""
        return agreed_spec(self.agreed, steps) or price_spec(self.price)

    def is_billed(self, rollup: RollupRow) -> bool:
        """Whether the price accepts how the rollup was measured."""
        return self.refused.isdisjoint(rollup.measurements)

    def combined(self, quantities: Sequence[int]) -> int:
        """What quantities of parts come to for the whole."""
        return combined_quantities(self.meter, list(quantities)) if quantities else 0

    def within(self, start: datetime, end: datetime) -> list[UsagePeriod]:
        """The billed stretches inside [start, end)."""
        return [
            UsagePeriod(each.application_id, max(each.start, start), min(each.end, end))
            for each in self.own
            if each.start < end and start < each.end
        ]

    def on(self, day: date, zone: ZoneInfo) -> list[UsagePeriod]:
        """The billed stretches of one local day."""
        return self.within(*bounds_of(day, zone))


@dataclass(frozen=True, slots=True)
class LineFigures:
    """What a line says."""

    label: str
    unit: str
    raw_quantity: int | Decimal
    quantity: Decimal
    amount: Decimal
    unrounded: Decimal
    currency: str
    steps: tuple[StepJson, ...]
    provenance: Provenance
    attributes: Mapping[str, str]


def agreed_spans(contract: Contract, price_id: str) -> tuple[PricedSpan, ...]:
    """The price as it is agreed, once for each part of the period."""
    return tuple(each for each in priced_spans(contract) if each.full.id == price_id)


def agreed_spec(agreed: Sequence[PricedSpan], steps: Sequence[StepJson]) -> PriceSpec | None:
    """The price that a line with these steps was rated by; None where none is agreed."""
    told = {step["words"] for step in steps if step["kind"] == "override"}
    for each in agreed:
        if bool(each.override) == bool(told) and all(each.override in one for one in told):
            return each.full
    return agreed[0].full if agreed else None


def bounds_of(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """A local day as [start, end) in UTC; 23 or 25 hours where the clocks change."""
    midnights = (datetime.combine(each, time(), zone) for each in (day, day + timedelta(days=1)))
    start, end = (midnight.astimezone(UTC) for midnight in midnights)
    return start, end


def upcoming_source(
    customer: Customer, price_id: UUID, application_id: UUID, *, as_of: datetime
) -> LineSource:
    """The source of a line of the upcoming invoice, without rating it. Raises LineNotFound."""
    subscription = subscription_of(customer, as_of=as_of)
    if subscription is None:
        raise LineNotFound
    period = current_period(subscription, as_of=as_of)
    try:
        contract = contract_of(subscription, period)
    except (PlanHasNoVersion, NotQuotedInCurrency) as absent:
        raise LineNotFound from absent
    price = Price.objects.select_related("plan_version__plan").filter(pk=price_id).first()
    agreed = agreed_spans(contract, str(price_id))
    own = _priced(own_periods(customer, application_id, period), agreed)
    if price is None or not own:
        raise LineNotFound
    application = Application.objects.select_related("environment").get(pk=application_id)
    return LineSource(price, application, period, tuple(own), None, _refused_by(price), agreed)


def _priced(periods: Sequence[UsagePeriod], agreed: Sequence[PricedSpan]) -> list[UsagePeriod]:
    """The stretches as far as the price holds in them: a version can take effect at once."""
    spans = [each.span for each in agreed]
    return [
        UsagePeriod(each.application_id, max(each.start, span.start), min(each.end, span.end))
        for each in periods
        for span in spans
        if each.start < span.end and span.start < each.end
    ]


def _refused_by(price: Price) -> frozenset[UUID]:
    wanted = Wanted(price.meter, frozenset(price.accepted_qualities))
    return refused_profiles([wanted]).get(wanted, frozenset())


def upcoming_figures(
    source: LineSource, lines: Iterable[RatedLine], attributes: Mapping[str, str]
) -> LineFigures:
    """The line as the upcoming invoice has it among `lines`; of a matrix the one whose usage has
    these attributes. Raises LineNotFound where it used nothing."""
    wanted = (str(source.price.pk), str(source.application.pk))
    for line in lines:
        named = all(attributes.get(name, value) == value for name, value in line.attributes)
        if (line.price_id, line.application_id) == wanted and named:
            return rated_figures(line)
    raise LineNotFound


def rated_figures(line: RatedLine) -> LineFigures:
    return LineFigures(
        label=line.label,
        unit=line.unit,
        raw_quantity=line.raw_quantity,
        quantity=line.quantity,
        amount=line.amount,
        unrounded=line.unrounded,
        currency=line.currency.code,
        steps=tuple(step.to_json() for step in line.steps),
        provenance=line.provenance,
        attributes=dict(line.attributes),
    )


def stored_line(customer: Customer, invoice_id: UUID, line_id: UUID) -> InvoiceLine:
    """A line of one of the customer's invoices. Raises LineNotFound."""
    line = (
        InvoiceLine.objects.select_related(
            "invoice__plan_version__plan", "price__plan_version__plan", "application__environment"
        )
        .filter(pk=line_id, invoice_id=invoice_id, invoice__customer=customer)
        .first()
    )
    if line is None:
        raise LineNotFound
    return line


def stored_source(customer: Customer, line: InvoiceLine) -> LineSource:
    period = period_of(line.invoice)
    application, price = line.application, line.price
    if application is None or price is None or line.kind != InvoiceLine.Kind.USAGE:
        raise LineNotFound("it was not counted from usage of its own")
    contract = invoiced_contract(line.invoice)
    agreed = agreed_spans(contract, str(price.pk))
    own = _priced(own_periods(customer, application.pk, period), agreed)
    # Shown by the names that the invoice has, whatever they are called today.
    application.name = line.application_name
    application.environment.name = line.environment_name
    refused = _refused_by(price)
    return LineSource(price, application, period, tuple(own), line.invoice, refused, agreed)


def stored_figures(line: InvoiceLine) -> LineFigures:
    return LineFigures(
        label=line.label,
        unit=line.unit,
        raw_quantity=line.raw_quantity,
        quantity=line.quantity,
        amount=line.amount,
        unrounded=line.unrounded,
        currency=line.invoice.currency,
        steps=tuple(line.steps),
        provenance=line.provenance,
        attributes=line.attributes,
    )


def bucket_count(periods: Sequence[UsagePeriod], without: Collection[UUID] = ()) -> int:
    """How many rollups (one for each instance and 5 minutes) the stretches hold, or those that
    have none of some profiles."""
    return sum(
        rollup_count(each.application_id, each.start, each.end, without=without) for each in periods
    )


def refused_by_day(
    source: LineSource, periods: Sequence[UsagePeriod], zone: ZoneInfo
) -> dict[date, int]:
    """What the price left unbilled of the stretches, by local day."""
    return quantity_with_by_day(periods, source.meter, source.refused, zone.key)


def rollup_page(periods: Sequence[UsagePeriod], limit: int, offset: int) -> list[RollupRow]:
    """Rollups of several stretches as if they were one list, oldest first."""
    rows: list[RollupRow] = []
    for each in periods:
        count = rollup_count(each.application_id, each.start, each.end)
        if offset < count and len(rows) < limit:
            left = limit - len(rows)
            rows += rollups_of(each.application_id, each.start, each.end, left, offset)
        offset = max(offset - count, 0)
    return rows


def measured_of(rows: Sequence[RollupRow], meter: str) -> list[tuple[Measured, ...]]:
    """How each rollup's quantity of the meter was measured."""
    known = profiles(frozenset[UUID | None]().union(*(row.measurements for row in rows)))
    return [measured_by(row.measurements, known, meter) for row in rows]


def bucket_rollups(
    source: LineSource, start: datetime, instance_id: UUID | None = None
) -> list[RollupRow]:
    """One bucket's rollups, one for each instance and role; of one instance alone if named.

    Raises LineNotFound for a bucket that is not the customer's to pay.
    """
    try:
        billed = source.within(start, start + BUCKET)
    except OverflowError as impossible:
        raise LineNotFound from impossible
    if not billed:
        raise LineNotFound
    rows = rollups_of(source.application.pk, start, start + BUCKET, limit=_INSTANCES_MAX)
    return [row for row in rows if instance_id is None or row.instance_id == instance_id]


def quantities(rows: Iterable[RollupRow | SampleRow], meter: str) -> list[int]:
    """The measured values of one meter; rows that did not measure it have none."""
    return [row.usage[meter] for row in rows if meter in row.usage]


def quantities_by_hour(source: LineSource, day: date, zone: ZoneInfo) -> dict[datetime, int]:
    """One local day's usage by the start of each local hour, hours without usage included."""
    start, end = bounds_of(day, zone)
    hours = dict.fromkeys(_hours_between(start, end), 0)
    for each in source.within(start, end):
        for point in usage_series(
            [source.application.pk],
            source.meter,
            each.start,
            each.end,
            "hour",
            zone.key,
            without=source.refused,
        ):
            before = hours.get(point.start, 0)
            hours[point.start] = source.combined([before, point.quantity])
    return dict(sorted(hours.items()))


def _hours_between(start: datetime, end: datetime) -> Iterator[datetime]:
    while start < end:
        yield start
        start += timedelta(hours=1)


def digests_of(samples: Sequence[SampleRow]) -> dict[UUID, str]:
    """The SHA-256 of each sample's signed batch, in hexadecimal."""
    wanted = {sample.batch_id for sample in samples}
    batches = SampleBatch.objects.filter(pk__in=wanted).values_list("pk", "digest")
    return {batch_id: bytes(digest).hex() for batch_id, digest in batches}
