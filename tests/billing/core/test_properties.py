"""What holds for every contract, whatever its prices and usage.

The suite runs a few cases; docs/pricing.md says how 200,000 are run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from hypothesis import assume, given
from hypothesis import strategies as st

from billing.core.charges import PeriodTerms, usage_lines
from billing.core.contract import Contract, priced_spans, rated_contract
from billing.core.intervals import Raw, peak, percentile
from billing.core.money import round_amount, sum_amounts
from billing.core.periods import Period
from billing.core.quantity import plus
from billing.core.rating import PriceSpec, UsageQuantity
from billing.core.readings import Reading
from tests.billing.core.agreements import OCTOBER, contract, terms
from tests.billing.core.random_contracts import (
    INSTANTS,
    READINGS,
    metered_prices,
    plans,
    rated_cases,
    raws_of,
    usage_of,
)

# A few roundings of quotients to 30 decimals.
LAST_DECIMALS = Decimal("1e-28")

Usage = Mapping[Period, Sequence[UsageQuantity]]
Case = tuple[Contract, Usage]
# When it was used, by which application, of which reading, how much.
Sample = tuple[datetime, int, int, int]


def unrounded(
    prices: Sequence[PriceSpec], usage: Sequence[UsageQuantity], **more: object
) -> Decimal:
    invoice = usage_lines(prices, usage, "EUR", PeriodTerms(**more))  # type: ignore[arg-type]
    return sum_amounts([line.unrounded for line in invoice])


def used_of(reading: Reading, samples: Sequence[Sample]) -> Raw:
    """What a reading makes of one application's samples of a period."""
    if reading.aggregation == "maximum":
        return max(quantity for *_, quantity in samples)
    if reading.aggregation == "unique":
        return len({quantity for *_, quantity in samples})
    if reading.aggregation in ("sum", "integral"):
        return sum(quantity for *_, quantity in samples)
    by_interval: dict[datetime, Raw] = {}
    for instant, *_, quantity in samples:
        by_interval[instant] = plus(by_interval.get(instant, 0), quantity)
    if reading.aggregation == "peak":
        return peak(by_interval, 12).quantity
    return percentile(by_interval, 12, reading.percentile).quantity


def read(samples: Sequence[Sample]) -> list[UsageQuantity]:
    own: dict[tuple[int, int], list[Sample]] = {}
    for sample in samples:
        own.setdefault((sample[1], sample[2]), []).append(sample)
    return [
        UsageQuantity(
            str(application), f"app {application}", READINGS[number][0],
            used_of(READINGS[number][0], of),
        )
        for (application, number), of in own.items()
    ]  # fmt: skip


samples_of_an_hour = st.lists(
    st.tuples(
        st.integers(0, 11).map(lambda number: OCTOBER.start + number * timedelta(minutes=5)),
        st.integers(0, 2),
        # Each reading once: GiB-hours and GB-hours count one meter.
        st.sampled_from([number for number in range(len(READINGS)) if number != 2]),
    ),
    max_size=12,
)


class TestAnInvoice:
    @given(rated_cases())
    def test_has_lines_that_sum_to_its_total(self, case: Case) -> None:
        invoice = rated_contract(*case)

        assert sum_amounts([line.amount for line in invoice.lines]) == invoice.total
        exact = sum_amounts([line.unrounded for line in invoice.lines])
        assert invoice.total == round_amount(exact, invoice.currency)

    @given(rated_cases())
    def test_has_no_line_off_by_more_than_a_minor_unit(self, case: Case) -> None:
        invoice = rated_contract(*case)

        for line in invoice.lines:
            assert abs(line.amount - line.unrounded) <= invoice.currency.minor_unit


class TestAPeriodSplit:
    @given(st.data(), INSTANTS, st.booleans())
    def test_at_any_instant_comes_to_the_same(
        self, data: st.DataObject, instant: datetime, in_parts: bool
    ) -> None:
        if in_parts:
            self._billed_in_two_parts(data)
        else:
            self._in_two_terms(data, instant)

    def _in_two_terms(self, data: st.DataObject, instant: datetime) -> None:
        """Two versions with the same prices are one."""
        prices = data.draw(plans())
        usage = data.draw(usage_of(prices))
        first, second = Period(OCTOBER.start, instant), Period(instant, OCTOBER.end)
        whole = contract(terms(*prices, minimum="20"))
        split = replace(
            whole,
            terms=(
                terms(*prices, span=first, minimum="20"),
                terms(*prices, span=second, minimum="20"),
            ),
        )

        assert rated_contract(split, {OCTOBER: usage}) == rated_contract(whole, {OCTOBER: usage})

    def _billed_in_two_parts(self, data: st.DataObject) -> None:
        """What was used before an instant, then what was used after it: tiers, allowances,
        packages, the maximum and the minimum go on from where the first part left them."""
        price = data.draw(metered_prices(0))
        early, late = data.draw(usage_of([price])), data.draw(usage_of([price]))
        by_cell = {(used.application_id, used.attributes): used for used in early}
        for used in late:
            key = (used.application_id, used.attributes)
            had = by_cell[key].quantity if key in by_cell else 0
            by_cell[key] = replace(used, quantity=plus(had, used.quantity))

        first = unrounded([price], early, last=False)
        billed = {price.code: plus(0, *(used.quantity for used in early))}
        second = unrounded([price], late, billed=billed, charged={price.code: first})

        assert sum_amounts([first, second]) == unrounded([price], list(by_cell.values()))


class TestSamples:
    @given(plans(), samples_of_an_hour, st.randoms(use_true_random=False))
    def test_in_any_order_come_to_the_same(
        self, prices: list[PriceSpec], samples: list[Sample], random: Random
    ) -> None:
        shuffled = random.sample(samples, len(samples))
        agreed = contract(terms(*prices))

        assert rated_contract(agreed, {OCTOBER: read(shuffled)}) == rated_contract(
            agreed, {OCTOBER: read(samples)}
        )


class TestMoreUsage:
    @given(rated_cases(monotone=True), st.data())
    def test_never_costs_less(self, case: Case, data: st.DataObject) -> None:
        """Up to the 30th decimal, to which quotients are rounded."""
        agreed, usage = case
        places = [(span, index) for span, own in usage.items() for index in range(len(own))]
        assume(places)
        # Of one alone: what others cost more would hide that this one costs less.
        span, index = data.draw(st.sampled_from(places))
        more = {each: list(own) for each, own in usage.items()}
        used = more[span][index]
        units = {each.price.reading: each.price.unit for each in priced_spans(agreed)}
        added = data.draw(raws_of(used.reading, units[used.reading]))
        more[span][index] = replace(used, quantity=plus(used.quantity, added))

        less, raised = rated_contract(agreed, usage), rated_contract(agreed, more)
        assert less.unrounded <= sum_amounts([raised.unrounded, LAST_DECIMALS])
