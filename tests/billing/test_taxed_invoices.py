"""Taxes on stored invoices, and what keeps a draft from being finalized."""

from datetime import date
from decimal import Decimal

import pytest

from billing.core.tax import TaxCountryUnknown, TaxRateUnknown
from billing.models import BillingDetails, BillingSettings, Invoice, Plan, TaxRate
from billing.operations import close_due, finalize_invoice, restate_invoice
from billing.taxes import accepts_vat_id, may_be_vat_id, tax_day
from tests.billing.late import note_at
from tests.billing.timeline import (
    HOUR_US,
    NOVEMBER,
    Story,
    at,
    begin_story,
    cpu_price,
    publish,
    use,
)

# 123.45 CPU-hours' price.
HOURS = 12_345


def sell(country: str = "DE", **settings: object) -> None:
    BillingSettings.objects.create(legal_name="First Host", country=country, **settings)


def rate(percent: str = "19", **fields: object) -> TaxRate:
    return TaxRate.objects.create(
        **{
            "name": f"VAT {percent}%",
            "country": "DE",
            "percent": Decimal(percent),
            "valid_from": date(2020, 1, 1),
            **fields,
        }
    )


def drafted(hours: int = HOURS, **details: str) -> tuple[Story, Invoice]:
    story = begin_story()
    if details:
        BillingDetails.objects.create(customer=story.customer, **details)
    use(story.shop, at(10, 3), cpu_us=hours * HOUR_US)
    (draft,) = close_due(as_of=NOVEMBER)
    return story, draft


def taxes(invoice: Invoice) -> list[tuple[str, Decimal, Decimal, Decimal]]:
    return list(invoice.taxes.values_list("category", "percent", "taxable", "tax"))


@pytest.mark.usefixtures("inside")
class TestAnInvoice:
    def test_bears_the_tax_of_its_buyers_country(self) -> None:
        sell()
        rate()
        _, draft = drafted(country="DE")
        assert draft.tax_total == Decimal("23.46")
        invoice = finalize_invoice(draft, as_of=NOVEMBER)
        assert taxes(invoice) == [("S", Decimal(19), Decimal("123.45"), Decimal("23.46"))]
        assert (invoice.total, invoice.gross) == (Decimal("123.45"), Decimal("146.91"))
        line = invoice.lines.get()
        assert (line.tax_category, line.tax_percent) == ("S", Decimal(19))

    def test_contains_its_tax_where_prices_do(self) -> None:
        sell(prices_include_tax=True)
        rate()
        _, draft = drafted(11_900, country="DE")
        invoice = finalize_invoice(draft, as_of=NOVEMBER)
        assert [invoice.total, invoice.tax_total, invoice.gross] == list(
            map(Decimal, (119, 19, 119))
        )
        assert taxes(invoice) == [("S", Decimal(19), Decimal(100), Decimal(19))]

    def test_is_taxed_by_the_last_day_of_its_period(self) -> None:
        sell()
        rate("19", valid_to=date(2026, 11, 1))
        rate("21", valid_from=date(2026, 11, 1))
        _, draft = drafted(country="DE")
        assert finalize_invoice(draft, as_of=NOVEMBER).taxes.get().percent == 19

    def test_tells_product_classes_apart(self) -> None:
        sell()
        rate("19")
        rate("7", product_class="books")
        story = begin_story()
        BillingDetails.objects.create(customer=story.customer, country="DE")
        books = cpu_price("1")
        books.product_class = "books"
        publish(story.plan, cpu_price("1"), books, effective_from=at(1, 2))
        use(story.shop, at(10, 3), cpu_us=10 * HOUR_US)
        (draft,) = close_due(as_of=NOVEMBER)
        invoice = finalize_invoice(draft, as_of=NOVEMBER)
        assert taxes(invoice) == [
            ("S", Decimal(19), Decimal(10), Decimal("1.90")),
            ("S", Decimal(7), Decimal(10), Decimal("0.70")),
        ]

    def test_charges_a_business_abroad_by_reverse_charge(self) -> None:
        sell()
        rate()
        _, draft = drafted(country="AT", vat_id="ATU 13585627")
        tax = finalize_invoice(draft, as_of=NOVEMBER).taxes.get()
        assert (tax.category, tax.tax) == ("AE", Decimal(0))
        assert "Reverse charge" in tax.reason

    def test_is_refused_where_a_rate_is_missing_and_its_draft_is_not(self) -> None:
        sell()
        rate()
        _, draft = drafted(country="AT", vat_id="ATU13585628")
        assert draft.tax_total == 0
        with pytest.raises(TaxRateUnknown, match="AT and 'hosting' on 2026-10-31"):
            finalize_invoice(draft, as_of=NOVEMBER)
        draft.refresh_from_db()
        assert draft.number is None
        rate("20", country="AT")
        assert finalize_invoice(draft, as_of=NOVEMBER).tax_total == Decimal("24.69")

    def test_is_refused_while_the_customers_country_is_missing(self) -> None:
        sell()
        rate()
        _, draft = drafted()
        with pytest.raises(TaxCountryUnknown, match="billing details"):
            finalize_invoice(draft, as_of=NOVEMBER)

    def test_of_a_tenant_without_rates_is_outside_the_scope_of_tax(self) -> None:
        _, draft = drafted()
        assert taxes(finalize_invoice(draft, as_of=NOVEMBER)) == [
            ("O", Decimal(0), Decimal("123.45"), Decimal(0))
        ]

    def test_in_a_currency_without_decimals_is_taxed_in_whole_units(self) -> None:
        sell("JP")
        rate("10", country="JP")
        story = begin_story()
        BillingDetails.objects.create(customer=story.customer, country="JP")
        Plan.objects.update(currency="JPY")
        use(story.shop, at(10, 3), cpu_us=HOURS * HOUR_US)
        (draft,) = close_due(as_of=NOVEMBER)
        invoice = finalize_invoice(draft, as_of=NOVEMBER)
        assert (invoice.total, invoice.tax_total) == (Decimal(123), Decimal(12))


@pytest.mark.usefixtures("inside")
class TestANote:
    def test_is_taxed_as_the_invoice_was(self) -> None:
        sell()
        old = rate("19")
        story, draft = drafted(country="DE")
        invoice = finalize_invoice(draft, as_of=NOVEMBER)
        old.percent = Decimal(25)
        old.save()
        use(story.shop, at(10, 4), cpu_us=1000 * HOUR_US)
        note_at(at(11, 2))
        note = restate_invoice(invoice, as_of=at(11, 5))
        assert note is not None
        assert taxes(note) == [("S", Decimal(19), Decimal(10), Decimal("1.90"))]
        assert note.buyer_details == invoice.buyer_details

    def test_on_the_next_invoice_is_taxed_by_the_day_of_its_own_period(self) -> None:
        sell(late_usage="next_invoice")
        rate("19", valid_to=date(2026, 11, 1))
        rate("21", valid_from=date(2026, 11, 1))
        story, draft = drafted(country="DE")
        finalize_invoice(draft, as_of=NOVEMBER)
        use(story.shop, at(10, 4), cpu_us=1000 * HOUR_US)
        use(story.shop, at(11, 4), cpu_us=2000 * HOUR_US)
        note_at(at(11, 2))
        (draft,) = close_due(as_of=at(12, 2))
        assert taxes(finalize_invoice(draft, as_of=at(12, 2))) == [
            ("S", Decimal(21), Decimal(20), Decimal("4.20")),
            ("S", Decimal(19), Decimal(10), Decimal("1.90")),
        ]


@pytest.mark.parametrize(
    ("vat_id", "country", "accepted"),
    [
        ("DE136695976", "DE", True),
        ("DE 136 695 976", "DE", True),
        ("DE136695978", "DE", False),
        ("DE136695976", "AT", False),
        ("EL094259216", "GR", True),
        ("136695976", "DE", False),
        ("", "DE", False),
        ("DE136695976", "", False),
    ],
)
def test_a_vat_id_is_accepted_by_its_form_and_check_digits(
    vat_id: str, country: str, accepted: bool
) -> None:
    assert accepts_vat_id(vat_id, country) == accepted


@pytest.mark.parametrize(
    ("vat_id", "country", "may_be"),
    [
        ("", "DE", True),
        ("DE136695976", "DE", True),
        ("DE136695978", "DE", False),
        ("CHE-107.787.577 MWST", "CH", True),
        ("CHE-107.787.578 MWST", "CH", False),
        ("12-3456789", "US", False),
    ],
)
def test_a_party_may_have_a_vat_id_of_its_own_country(
    vat_id: str, country: str, may_be: bool
) -> None:
    assert may_be_vat_id(vat_id, country) == may_be


def test_the_tax_day_is_the_local_day_of_the_last_moment() -> None:
    assert tax_day(at(10, 31, 23), "Europe/Berlin") == date(2026, 10, 31)
    assert tax_day(at(10, 31, 23), "UTC") == date(2026, 10, 31)
    assert tax_day(at(11, 1), "Asia/Kolkata") == date(2026, 11, 1)
