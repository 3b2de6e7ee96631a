"""Which tax a line bears, and taxes that sum."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.currencies import currency_of
from billing.core.money import sum_amounts
from billing.core.tax import (
    RateTable,
    Sale,
    TaxableLine,
    TaxCountryUnknown,
    TaxPlace,
    TaxRateEntry,
    TaxRateUnknown,
    Treatment,
    line_taxes,
    tax_groups,
)
from tests.billing.core.strategies import codes

JUNE_30, JULY_1 = date(2020, 6, 30), date(2020, 7, 1)
EUR = currency_of("EUR")


def rate(
    percent: str = "19",
    *,
    country: str = "DE",
    region: str = "",
    product_class: str = "",
    category: str = "S",
    valid_from: date = date(2007, 1, 1),
    valid_to: date | None = None,
    name: str = "VAT",
) -> TaxRateEntry:
    return TaxRateEntry(
        country, region, product_class, category, Decimal(percent), valid_from, valid_to, name
    )


GERMANY, FRANCE, AMERICA = TaxPlace("DE"), TaxPlace("FR"), TaxPlace("US", "CA")
TABLE = RateTable(
    (
        rate("19", valid_to=JULY_1),
        rate("16", valid_from=JULY_1, valid_to=date(2021, 1, 1)),
        rate("7", product_class="books"),
        rate("0", product_class="teaching", category="E", name="Exempt, section 4 no. 21"),
        rate("20", country="FR"),
    )
)


def treatment(
    table: RateTable,
    buyer: TaxPlace,
    *,
    seller: TaxPlace = GERMANY,
    product_class: str = "hosting",
    on: date = JUNE_30,
) -> Treatment:
    line = TaxableLine(Decimal(100), product_class, on)
    (found,) = table.treatments(Sale(seller, buyer, (line,)))
    return found


class TestATreatment:
    @pytest.mark.parametrize(
        ("buyer", "product_class", "on", "category", "percent"),
        [
            (GERMANY, "hosting", JUNE_30, "S", 19),
            (GERMANY, "hosting", JULY_1, "S", 16),
            (GERMANY, "books", JUNE_30, "S", 7),
            (GERMANY, "teaching", JUNE_30, "E", 0),
            (FRANCE, "hosting", JUNE_30, "S", 20),
            (TaxPlace("FR", has_vat_id=True), "hosting", JUNE_30, "AE", 0),
            (TaxPlace("DE", has_vat_id=True), "hosting", JUNE_30, "S", 19),
            (AMERICA, "hosting", JUNE_30, "G", 0),
            (TaxPlace("GB", has_vat_id=True), "hosting", JUNE_30, "G", 0),
        ],
    )
    def test_follows_from_the_table_the_buyer_and_the_day(
        self, buyer: TaxPlace, product_class: str, on: date, category: str, percent: int
    ) -> None:
        found = treatment(TABLE, buyer, product_class=product_class, on=on)
        assert (found.category, found.percent) == (category, Decimal(percent))
        assert bool(found.reason) == (category != "S")

    def test_is_that_of_the_region_before_that_of_the_country(self) -> None:
        table = RateTable((rate("5", country="US"), rate("7.25", country="US", region="CA")))
        assert treatment(table, AMERICA, seller=AMERICA).percent == Decimal("7.25")
        assert treatment(table, TaxPlace("US", "OR"), seller=AMERICA).percent == 5

    def test_abroad_is_a_rate_of_the_table_where_it_has_one(self) -> None:
        table = RateTable((rate("19"), rate("8.1", country="CH")))
        assert treatment(table, TaxPlace("CH")).percent == Decimal("8.1")

    def test_of_a_tenant_without_a_table_is_none(self) -> None:
        found = treatment(RateTable(()), TaxPlace(""), seller=TaxPlace(""))
        assert (found.category, found.percent) == ("O", Decimal(0))

    def test_is_refused_where_the_country_is_taxed_and_no_rate_is_known(self) -> None:
        with pytest.raises(TaxRateUnknown, match="for IT and 'hosting' on 2020-06-30"):
            treatment(TABLE, TaxPlace("IT"))
        with pytest.raises(TaxRateUnknown, match="for DE"):
            treatment(RateTable((rate(valid_from=JULY_1),)), GERMANY)

    @pytest.mark.parametrize(
        ("seller", "buyer", "words"),
        [("", "DE", "billing settings"), ("DE", "", "billing details")],
    )
    def test_is_refused_while_a_country_is_missing(
        self, seller: str, buyer: str, words: str
    ) -> None:
        with pytest.raises(TaxCountryUnknown, match=words):
            treatment(TABLE, TaxPlace(buyer), seller=TaxPlace(seller))


def standard(percent: str) -> Treatment:
    return Treatment("S", Decimal(percent))


class TestTheTaxOfAGroup:
    def test_is_rounded_once(self) -> None:
        # Line by line it would be three times 0.02; 19 % of 0.39 is 0.0741.
        amounts = [Decimal("0.13")] * 3
        (group,) = tax_groups(amounts, [standard("19")] * 3, EUR, inclusive=False)
        assert (group.taxable, group.tax) == (Decimal("0.39"), Decimal("0.07"))

    def test_is_taken_out_of_inclusive_amounts_to_the_cent(self) -> None:
        (group,) = tax_groups([Decimal("119.00")], [standard("19")], EUR, inclusive=True)
        assert (group.taxable, group.tax) == (Decimal("100.00"), Decimal("19.00"))

    def test_of_inclusive_amounts_is_rounded_from_the_exact_fraction(self) -> None:
        # 15/115 of 0.23 is 0.03 exactly; 25/125 of 0.10 is 0.02.
        amounts = [Decimal("0.23"), Decimal("0.10")]
        groups = tax_groups(amounts, [standard("15"), standard("25")], EUR, inclusive=True)
        assert [(each.percent, each.tax) for each in groups] == [
            (Decimal(25), Decimal("0.02")),
            (Decimal(15), Decimal("0.03")),
        ]

    def test_of_a_negative_sum_mirrors_that_of_the_positive_one(self) -> None:
        for inclusive in (False, True):
            for amount in ("0.50", "2.63", "0.03"):
                (plus,) = tax_groups([Decimal(amount)], [standard("19")], EUR, inclusive=inclusive)
                (minus,) = tax_groups(
                    [-Decimal(amount)], [standard("19")], EUR, inclusive=inclusive
                )
                assert plus.tax == -minus.tax


percents = st.sampled_from(["0", "5.5", "7", "7.25", "19", "20", "33.3333", "100"])


@st.composite
def taxed(draw: st.DrawFn) -> tuple[list[Decimal], list[Treatment], str, bool]:
    code = draw(codes)
    units = draw(st.lists(st.integers(-(10**9), 10**9), max_size=12))
    amounts = [Decimal(unit) * currency_of(code).minor_unit for unit in units]
    treatments = [standard(draw(percents)) for _ in units]
    return amounts, treatments, code, draw(st.booleans())


class TestTaxes:
    @given(taxed())
    def test_sum_from_lines_to_groups_to_the_invoice(
        self, case: tuple[list[Decimal], list[Treatment], str, bool]
    ) -> None:
        amounts, treatments, code, inclusive = case
        currency = currency_of(code)
        groups = tax_groups(amounts, treatments, currency, inclusive=inclusive)
        shares = line_taxes(amounts, treatments, currency, inclusive=inclusive)
        for group in groups:
            own = [index for index, each in enumerate(treatments) if each.percent == group.percent]
            assert sum_amounts([shares[index] for index in own]) == group.tax
            together = sum_amounts([amounts[index] for index in own])
            assert together == group.taxable + (group.tax if inclusive else 0)
            rate = group.percent / 100
            # taxable * rate is off by the rounding alone, of the tax or of what it was taken from.
            assert abs(group.taxable * rate - group.tax) <= currency.minor_unit * (1 + rate) / 2
        for amount, each, share in zip(amounts, treatments, shares, strict=True):
            rate = each.percent / 100
            exact = amount * rate / (1 + rate if inclusive else 1)
            assert abs(share - exact) < currency.minor_unit
