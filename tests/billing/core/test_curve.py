"""The integer curve says what rating says, to the last digit."""

from datetime import date, timedelta
from decimal import Decimal
from itertools import accumulate, pairwise

from hypothesis import given
from hypothesis import strategies as st

from billing.core.charges import rate_usage
from billing.core.currencies import currency_of
from billing.core.curve import charge_curve, round_fine_lines
from billing.core.daily import charge_days
from billing.core.exact import EXACT
from billing.core.money import round_lines
from billing.core.prices import CumulativeModel
from billing.core.pricing import Part, rate_stretch
from billing.core.quantity import UNITS
from billing.core.rating import PriceSpec, UsageQuantity
from tests.billing.core.strategies import allowances, codes, price_models, prices, usages

fine = st.one_of(st.integers(0, 10**33), st.integers(0, 10**6).map(lambda n: n * 5 * 10**26))


class TestChargeCurve:
    @given(
        model=price_models,
        allowance=allowances,
        raw_per_unit=st.sampled_from([unit.raw_per_unit for unit in UNITS.values()]),
        steps=st.lists(st.one_of(st.integers(0, 10**4), st.integers(0, 10**17)), min_size=1),
    )
    def test_charges_each_part_as_rating_does(
        self, model: CumulativeModel, allowance: Decimal, raw_per_unit: int, steps: list[int]
    ) -> None:
        curve = charge_curve(model, allowance, raw_per_unit)
        charged = curve.charges(steps)
        for (start, end), fines in zip(pairwise(accumulate([0, *steps])), charged, strict=True):
            part = Part(Decimal(start), Decimal(end), whole=Decimal(sum(steps)))
            rated = rate_stretch(model, part, allowance, raw_per_unit)
            assert Decimal(fines).scaleb(-30, EXACT) == rated.unrounded


class TestRoundingFines:
    @given(fines=st.lists(fine, max_size=20), code=codes)
    def test_agrees_with_the_rounding_of_lines(self, fines: list[int], code: str) -> None:
        currency = currency_of(code)
        amounts = round_lines([Decimal(each).scaleb(-30, EXACT) for each in fines], currency)
        rounded = round_fine_lines(fines, currency)
        assert [each * currency.minor_unit for each in rounded] == list(amounts)


@given(prices=prices(), usage=usages(), code=codes)
def test_the_running_charge_is_what_the_invoice_would_be_each_day(
    prices: list[PriceSpec], usage: list[UsageQuantity], code: str
) -> None:
    first = date(2026, 10, 1)
    by_day = {first + timedelta(days=number): [each] for number, each in enumerate(usage)}
    last = first + timedelta(days=len(usage))
    charged = charge_days(prices, by_day, rate_usage(prices, usage, code), last)
    for number in range(len(usage)):
        rated = rate_usage(prices, usage[: number + 1], code)
        until = [each for each in charged if each.day <= first + timedelta(days=number)]
        for application_id in {each.application_id for each in usage}:
            assert sum(
                each.amount for each in until if each.application_id == application_id
            ) == sum(line.amount for line in rated.lines if line.application_id == application_id)
