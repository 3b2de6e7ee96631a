"""What a meter counted becomes a quantity in the unit a price is quoted in."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hostmeter_agent.wire import METERS
from hypothesis import given
from hypothesis import strategies as st

from billing.core.exact import InexactNumber, NumberOutOfBounds
from billing.core.quantity import (
    UNITS,
    AggregationDoesNotFit,
    Unit,
    UnitDoesNotFit,
    UnknownUnit,
    aggregation_of,
    in_unit,
    require_aggregation,
    require_raw_quantity,
    unit_for,
    units_for,
)


class TestQuantity:
    @pytest.mark.parametrize(
        ("meter", "raw", "unit", "quantity"),
        [
            ("cpu.time", 20_000_000, "CPU-second", "20"),
            ("cpu.time", 5_400_000_000, "CPU-hour", "1.5"),
            ("memory.used", 3_600_000_000_000, "GB-hour", "1"),
            ("memory.used", 3_600 * 2**30, "GiB-hour", "1"),
            ("memory.used.max", 2**30, "GiB", "1"),
            ("memory.used.max", 2**30, "GB", "1.073741824"),
            ("network.sent", 1, "GiB", "0.000000000931322574615478515625"),
            ("network.sent", 2_500_000_000_000, "TB", "2.5"),
            ("processes", 86_400, "process-hour", "24"),
            ("files.open", 1_800, "file-hour", "0.5"),
            ("resources.open.socket", 7_200, "count-hour", "2"),
            ("transactions", 1_234, "thousand", "1.234"),
            ("launches", 7, "one", "7"),
            ("my.own.meter", 2_500_000, "million", "2.5"),
        ],
    )
    def test_is_converted_exactly(self, meter: str, raw: int, unit: str, quantity: str) -> None:
        assert in_unit(raw, unit_for(meter, unit)) == Decimal(quantity)

    def test_that_does_not_terminate_is_kept_to_30_decimals(self) -> None:
        third_of_an_hour = in_unit(1_200_000_000, UNITS["CPU-hour"])
        two_thirds = in_unit(2_400_000_000, UNITS["CPU-hour"])

        assert third_of_an_hour == Decimal("0." + "3" * 30)
        assert two_thirds == Decimal("0." + "6" * 29 + "7")

    @given(st.integers(0, 10**30 - 1), st.sampled_from(list(UNITS.values())))
    def test_in_its_unit_leads_back_to_the_raw_quantity(self, raw: int, unit: Unit) -> None:
        assert round(Fraction(in_unit(raw, unit)) * unit.raw_per_unit) == raw

    @pytest.mark.parametrize("raw", [1.0, True, "1"])
    def test_must_be_exact(self, raw: object) -> None:
        with pytest.raises(InexactNumber):
            require_raw_quantity(raw)  # type: ignore[arg-type]

    @pytest.mark.parametrize("raw", [-1, 10**30, Decimal("0.00001"), Decimal("NaN")])
    def test_out_of_bounds_is_refused(self, raw: int) -> None:
        with pytest.raises(NumberOutOfBounds):
            require_raw_quantity(raw)


class TestUnit:
    @pytest.mark.parametrize(
        ("meter", "unit"),
        [
            ("cpu.time", "GB-hour"),
            ("memory.used", "GB"),
            ("memory.used.max", "GB-hour"),
            ("threads", "process-hour"),
            ("network.sent", "thousand"),
            ("transactions", "CPU-hour"),
        ],
    )
    def test_that_the_meter_does_not_measure_is_refused(self, meter: str, unit: str) -> None:
        with pytest.raises(UnitDoesNotFit, match=meter):
            unit_for(meter, unit)

    def test_that_does_not_exist_is_refused(self) -> None:
        with pytest.raises(UnknownUnit, match="fortnight"):
            unit_for("cpu.time", "fortnight")

    @pytest.mark.parametrize("meter", [meter.name for meter in METERS])
    def test_exists_for_every_built_in_meter(self, meter: str) -> None:
        assert units_for(meter)


class TestAggregation:
    @pytest.mark.parametrize(
        ("meter", "aggregation"),
        [
            ("cpu.time", "sum"),
            ("memory.used", "integral"),
            ("memory.used.max", "maximum"),
            ("my.own.meter", "sum"),
            ("my.own.meter.max", "maximum"),
        ],
    )
    def test_follows_the_meter(self, meter: str, aggregation: str) -> None:
        assert aggregation_of(meter) == aggregation
        require_aggregation(meter, aggregation)

    @pytest.mark.parametrize(
        ("meter", "aggregation"),
        [("cpu.time", "maximum"), ("memory.used", "sum"), ("memory.used.max", "sum")],
    )
    def test_that_is_not_the_meters_is_refused(self, meter: str, aggregation: str) -> None:
        with pytest.raises(AggregationDoesNotFit, match=meter):
            require_aggregation(meter, aggregation)
