"""From what a customer agreed to and used to the lines of a billing period's invoice.

In order: usage, recurring fees, percentages, minimums, what fees give back for gaps, discounts, the
true-up of a commitment. Each looks at the lines before it; nothing is rounded before all are there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Final

from billing.core.charges import PeriodTerms, usage_by_reading, usage_lines
from billing.core.commitment import (
    CommitmentPart,
    MinimumPart,
    minimum_line,
    true_up_line,
)
from billing.core.currencies import Currency
from billing.core.discounts import DiscountTerm, discount_lines
from billing.core.exact import EXACT, ZERO, shortened
from billing.core.explanation import Step, Steps, step, unrounded
from billing.core.fees import minimum_line as price_minimum_line
from billing.core.fees import percentage_lines
from billing.core.gap_credit import ExpectedTime, credited_span, gap_credit_lines
from billing.core.money import sum_amounts
from billing.core.periods import BillingCycle, Period, span_in_words, whole_period_containing
from billing.core.prices import Flat, Percentage
from billing.core.prices.proration import Proration
from billing.core.proration import ProratedBy, share_in_words, share_of
from billing.core.quantity import unit_of
from billing.core.rating import RatedInvoice, UnroundedLine, UsageQuantity, rate_invoice
from billing.core.readings import Reading
from billing.core.recurring import Fee, FeeBasis, fee_lines
from billing.core.spans import PricedSpan, Terms, priced_span, runs

UsageBySpan = Mapping[Period, Sequence[UsageQuantity]]
TimeBySpan = Mapping[Period, ExpectedTime]

_TICK: Final = timedelta(microseconds=1)
_NOT_ASKED_FOR: Final[TimeBySpan] = {}


@dataclass(frozen=True, slots=True)
class Contract:
    """All that a billing period is rated by, beside its usage.

    `terms` tile the period. `before` are those of earlier periods, as far back as a fee period
    reaches that the billing period touches; `following` is what holds right after the period,
    None if the subscription ends with it. `carried` are raw units left of earlier periods'
    allowances, by prices' codes.
    """

    period: Period
    cycle: BillingCycle
    currency: Currency
    terms: tuple[Terms, ...]
    before: tuple[Terms, ...] = ()
    following: Terms | None = None
    proration: ProratedBy = "elapsed"
    discounts: tuple[DiscountTerm, ...] = ()
    commitment: CommitmentPart | None = None
    carried: Mapping[str, Decimal] = field(default_factory=dict)

    def share(self, span: Period) -> Proration:
        """The part of a whole billing period that `span` lasts: a first period is a part of one.

        Where the customer moved to another time zone a period can begin before the whole one that
        it stands for; that part is left out.
        """
        whole = whole_period_containing(self.period.end - _TICK, self.cycle)
        if span.end <= whole.start:
            return Proration(0, 1)
        inside = Period(max(span.start, whole.start), span.end)
        return share_of(inside, whole, by=self.proration, time_zone=self.cycle.time_zone)


def rated_contract(
    contract: Contract, usage: UsageBySpan, time: TimeBySpan = _NOT_ASKED_FOR
) -> RatedInvoice:
    """The period's invoice; `usage` holds that of each span of priced_spans, `time` that of each of
    credited_spans: raises KeyError for one that is missing."""
    return rate_invoice(contract_lines(contract, usage, time), contract.currency.code)


def contract_lines(
    contract: Contract, usage: UsageBySpan, time: TimeBySpan = _NOT_ASKED_FOR
) -> list[UnroundedLine]:
    """The period's lines in their order, before rounding."""
    spans = priced_spans(contract)
    by_reading = {span: usage_by_reading(used) for span, used in usage.items()}
    metered = [
        (each, _metered_lines(each, by_reading.get(each.span, {}), contract))
        for each in spans
        if not isinstance(each.full.model, Percentage)
    ]
    fees = recurring_lines(contract)
    lines = [line for _, own in metered for line in own]
    lines += fees
    lines += _percentages(spans, metered, fees, contract)
    minimum = minimum_line(lines, _minimums(contract), contract.currency)
    lines += [] if minimum is None else [minimum]
    # Later than the minimum, which would take back what is given back.
    lines += _gap_credits(contract, time)
    lines += discount_lines(lines, contract.discounts, codes_of(contract))
    if contract.commitment is not None:
        missing = true_up_line(lines, contract.commitment, contract.currency)
        lines += [] if missing is None else [missing]
    return lines


def priced_spans(contract: Contract) -> tuple[PricedSpan, ...]:
    """The metered prices and the percentages, each with the part of the period that it holds in."""
    zone = contract.cycle.time_zone
    return tuple(
        priced_span(run, contract.period, contract.proration, zone)
        for run in runs(contract.terms)
        if not isinstance(run.price.spec.model, Flat)
    )


def codes_of(contract: Contract) -> dict[str, str]:
    """The codes of all prices that can stand on the invoice, by their ids."""
    following = [] if contract.following is None else [contract.following]
    every = [*contract.before, *contract.terms, *following]
    return {price.spec.id: price.spec.code for terms in every for price in terms.prices}


def rolling_prices(contract: Contract) -> frozenset[str]:
    """The ids of the prices that leave to later periods what is not used of their allowance."""
    return frozenset(
        price.spec.id
        for terms in contract.terms
        for price in terms.prices
        if price.spec.rollover_periods
    )


def left_over(contract: Contract, used: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """What the period leaves of what is included in it and what was carried into it, in raw units,
    by the codes of the prices that roll over, if so much is `used` of them."""
    rolling, left = rolling_prices(contract), dict[str, Decimal]()
    for each in priced_spans(contract):
        spec = each.price
        if each.full.id in rolling and spec.reading is not None:
            raw_per_unit = Decimal(unit_of(spec.reading, spec.unit).raw_per_unit)
            included = EXACT.multiply(spec.allowance, raw_per_unit)
            before = left.get(spec.code, contract.carried.get(spec.code, ZERO))
            left[spec.code] = EXACT.add(before, included)
    return {
        code: max(EXACT.subtract(raw, used.get(code, ZERO)), ZERO) for code, raw in left.items()
    }


def _metered_lines(
    priced: PricedSpan, usage: Mapping[Reading, Sequence[UsageQuantity]], contract: Contract
) -> list[UnroundedLine]:
    own = usage.get(priced.full.reading, ()) if priced.full.reading else ()
    carried = {}
    if priced.span.start == contract.period.start and priced.price.code in contract.carried:
        carried = {priced.price.code: contract.carried[priced.price.code]}
    terms = PeriodTerms(in_use=contract.share(priced.span), ahead=None, carried=carried)
    lines = usage_lines([priced.price], own, contract.currency.code, terms)
    if priced.trial:
        lines = [_waived(line) for line in lines if line.kind == "usage"]
    notes = _notes(priced, contract)
    return [_noted(line, notes) for line in lines] if notes else lines


def _waived(line: UnroundedLine) -> UnroundedLine:
    return replace(line, unrounded=ZERO, steps=Steps(partial(_waived_steps, line)))


def _waived_steps(line: UnroundedLine) -> tuple[Step, ...]:
    code = line.currency.code
    words = f"In the trial: {shortened(line.unrounded)} {code} are not charged"
    waived = step("trial", words, {"waived": line.unrounded})
    return (*line.steps[:-1], waived, unrounded(ZERO, code))


def _notes(priced: PricedSpan, contract: Contract) -> tuple[Step, ...]:
    """Why the price, or a part of the period, is not what the plan has for all of it."""
    notes = []
    if priced.span != contract.period:
        share = share_of(
            priced.span,
            contract.period,
            by=contract.proration,
            time_zone=contract.cycle.time_zone,
        )
        words = (
            f"{span_in_words(priced.span, contract.cycle.time_zone)}, {priced.version}: "
            f"{share_in_words(share)} of the period, and so of what is included"
        )
        numbers = {"part": share.numerator, "whole": share.denominator}
        notes.append(step("segment", words, numbers))
    if priced.override:
        notes.append(step("override", f"The customer's own price: {priced.override}", {}))
    return tuple(notes)


def _noted(line: UnroundedLine, notes: tuple[Step, ...]) -> UnroundedLine:
    return replace(line, steps=Steps(partial(_noted_steps, line, notes)))


def _noted_steps(line: UnroundedLine, notes: tuple[Step, ...]) -> tuple[Step, ...]:
    # What was measured and its unit come first, wherever a price stands.
    first = 2 if line.kind == "usage" else 0
    return (*line.steps[:first], *notes, *line.steps[first:])


def recurring_lines(contract: Contract) -> list[UnroundedLine]:
    """The recurring fees' lines; a trial has none."""
    basis = _fee_basis(contract)
    return [line for fee, _ in _fees(contract) for line in fee_lines(fee, basis)]


def credited_spans(contract: Contract) -> tuple[Period, ...]:
    """The parts of the period in which a fee is given back for gaps, each once."""
    spans = (
        credited_span(fee, contract.period)
        for fee, credits_gaps in _fees(contract)
        if credits_gaps and fee.model.fee
    )
    return tuple(dict.fromkeys(span for span in spans if span is not None))


def _gap_credits(contract: Contract, time: TimeBySpan) -> list[UnroundedLine]:
    basis = _fee_basis(contract)
    lines: list[UnroundedLine] = []
    for fee, credits_gaps in _fees(contract):
        span = credited_span(fee, contract.period)
        if credits_gaps and fee.model.fee and span is not None:
            lines += gap_credit_lines(fee, basis, time[span])
    return lines


def _fee_basis(contract: Contract) -> FeeBasis:
    return FeeBasis(contract.period, contract.cycle, contract.currency, contract.proration)


def agreed_fees(contract: Contract) -> list[Fee]:
    """The recurring fees of the period and of those that it charges in advance."""
    return [fee for fee, _ in _fees(contract)]


def _fees(contract: Contract) -> list[tuple[Fee, bool]]:
    """The recurring fees, and whether gaps give back a share of each; a trial has none."""
    following = contract.following
    every = [*contract.before, *contract.terms, *([following] if following else [])]
    fees = []
    for run in runs(every):
        model = run.price.spec.model
        if isinstance(model, Flat) and not run.trial:
            goes_on = following is not None and run.held[-1] is following
            fee = Fee(
                run.price.spec,
                model,
                starts_at=run.starts_at,
                ends_at=None if goes_on else run.ends_at,
                override=run.price.override,
            )
            fees.append((fee, run.held[0].credits_gaps))
    return fees


def _percentages(
    spans: Sequence[PricedSpan],
    metered: Sequence[tuple[PricedSpan, Sequence[UnroundedLine]]],
    fees: Sequence[UnroundedLine],
    contract: Contract,
) -> list[UnroundedLine]:
    """Percentages of the lines in their spans; the last of each price is also of the fees that
    stand on the invoice."""
    codes, last = codes_of(contract), _last_starts(spans)
    lines: list[UnroundedLine] = []
    for each in spans:
        model = each.price.model
        if not isinstance(model, Percentage) or each.trial:
            continue
        bases = [
            line
            for base, own in metered
            if base.full.code in model.of and _lies_in(base.span, each.span)
            for line in own
        ]
        if each.span.start == last[each.full.code]:
            bases += [line for line in fees if codes.get(line.price_id or "") in model.of]
        charged = [line for line in bases if line.unrounded]
        own = percentage_lines(each.price, model, charged, contract.currency)
        missing = price_minimum_line(
            each.price,
            sum_amounts([line.unrounded for line in own]),
            contract.currency,
            contract.share(each.span),
        )
        own += [] if missing is None else [missing]
        lines += [_noted(line, _notes(each, contract)) for line in own]
    return lines


def _last_starts(spans: Sequence[PricedSpan]) -> dict[str, datetime]:
    return {each.full.code: each.span.start for each in sorted(spans, key=lambda s: s.span.start)}


def _lies_in(span: Period, other: Period) -> bool:
    return other.start <= span.start and span.end <= other.end


def _minimums(contract: Contract) -> list[MinimumPart]:
    """Each version's minimum by the share of a whole period in which it held; a trial has none.
    Terms of equal minimum that follow each other are one part."""
    parts: list[tuple[Decimal, Period]] = []
    for terms in contract.terms:
        if terms.trial or not terms.minimum:
            continue
        if parts and parts[-1][0] == terms.minimum and parts[-1][1].end == terms.span.start:
            parts[-1] = (terms.minimum, Period(parts[-1][1].start, terms.span.end))
        else:
            parts.append((terms.minimum, terms.span))
    return [MinimumPart(minimum, contract.share(span)) for minimum, span in parts]
