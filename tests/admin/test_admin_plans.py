"""Writing versions and prices: what cannot be billed is refused, in words, at its field."""

import re
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing.models import Plan, PlanVersion, Price
from billing.operations import draft_next_version, publish_draft
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.billing.timeline import JANUARY, at, begin_story

PRICE: dict[str, Any] = {
    "position": "1", "label": "CPU", "meter": "cpu.time", "unit": "CPU-hour",
    "kind": "per_unit", "unit_price": "1", "allowance": "0", "tiers": "[]",
    "accepted_qualities": ["exact", "sampled"], "code": "", "aggregation": "",
    "interval_minutes": "5", "percentile": "95", "over": "application", "distinct": "",
    "rollover_periods": "0", "minimum": "", "maximum": "", "definition": "{}", "currency": "",
    "product_class": "hosting",
}  # fmt: skip
VERSION = {
    "takes_effect": "period", "primary_factor": "1", "replica_factor": "0.5",
    "standby_factor": "0", "transactions_on": "primary", "primaries": "every",
    "gaps": "not_billed",
}  # fmt: skip
UNMETERED = {"meter": "", "unit": ""}
TIERS = '[{"up_to": null, "unit_price": "1"}]'


@pytest.fixture
def owner(tenant: Tenant) -> Client:
    return signed_in(tenant)


def add_version(client: Client, plan: Plan, *, start: str = "2026-01-01", **changes: Any) -> str:
    """What the form answers; nothing when it took the version."""
    price = {f"prices-0-{name}": value for name, value in (PRICE | changes).items()}
    form = {
        "plan": str(plan.pk), "effective_from_0": start, "effective_from_1": "00:00",
        "prices-TOTAL_FORMS": "1", "prices-INITIAL_FORMS": "0",
    }  # fmt: skip
    page = reverse("admin:billing_planversion_add")
    return client.post(page, form | VERSION | price).content.decode()


class TestAPlanThatIsAdded:
    def test_leads_on_to_its_first_version(self, tenant: Tenant, owner: Client) -> None:
        add = reverse("admin:billing_plan_add")
        assert 'value="EUR"' in owner.get(add).content.decode()
        nothing = {"versions-TOTAL_FORMS": "0", "versions-INITIAL_FORMS": "0"}
        form = {"name": "New", "currency": "EUR", "_save": "Save"}
        answer = owner.post(add, form | nothing)
        with tenant_scope(tenant.pk):
            plan = Plan.objects.get()
        first = f"{reverse('admin:billing_planversion_add')}?plan={plan.pk}"
        assert answer["Location"] == first
        page = owner.get(first).content.decode()
        assert f'<option value="{plan.pk}" selected>' in page
        # So that the running month is billed by it.
        assert f'value="{timezone.localtime():%Y-%m-01}"' in page


class TestAVersionThatIsAdded:
    def test_is_a_draft_unless_it_is_the_first(self, tenant: Tenant, owner: Client) -> None:
        with tenant_scope(tenant.pk):
            plan = Plan.objects.create(name="New", currency="EUR")
        assert add_version(owner, plan) == ""
        assert add_version(owner, plan, start="2026-02-01") == ""
        with tenant_scope(tenant.pk):
            first, second = plan.versions.order_by("number")
        assert (first.published_at is None, second.published_at is None) == (False, True)

    def test_that_is_a_draft_holds_no_other_back(self, tenant: Tenant, owner: Client) -> None:
        with tenant_scope(tenant.pk):
            plan = Plan.objects.create(name="New", currency="EUR")
        for start in ("2026-01-01", "2027-06-01", "2027-01-01"):
            assert add_version(owner, plan, start=start) == ""


class TestAPrice:
    @pytest.fixture
    def plan(self, tenant: Tenant) -> Plan:
        with tenant_scope(tenant.pk):
            return Plan.objects.create(name="New", currency="EUR")

    def test_by_tiers_has_no_price_of_its_own(self, owner: Client, plan: Plan) -> None:
        page = add_version(owner, plan, kind="graduated", tiers=TIERS)
        assert "A price of this kind has its prices in the tiers; leave this empty." in page
        assert "price_has_its_kind" not in page
        assert add_version(owner, plan, kind="graduated", tiers=TIERS, unit_price="") == ""

    def test_per_unit_has_no_tiers(self, owner: Client, plan: Plan) -> None:
        assert "A price of this kind has no tiers; leave this empty." in add_version(
            owner, plan, tiers=TIERS
        )

    @pytest.mark.parametrize("changes", [
        {"kind": "flat", **UNMETERED, "definition": '{"timing": "advance"}'},
        {"kind": "package", "definition": '{"size": "100"}'},
        {"kind": "volume", "unit_price": "", "tiers": TIERS},
        {
            "kind": "matrix", "unit_price": "",
            "definition": '{"by": ["role"], "rows": [{"values": ["primary"], "unit_price": "1"}],'
            ' "default": "2"}',
        },
        {"meter": "network.sent", "unit": "Mbit/s", "aggregation": "percentile"},
        {"meter": "users.concurrent.max", "unit": "user", "aggregation": "peak"},
        {"meter": "mails.sent", "unit": "thousand"},
    ], ids=["flat", "package", "volume", "matrix", "percentile", "peak", "own events"])  # fmt: skip
    def test_of_every_kind_is_taken(
        self, owner: Client, plan: Plan, changes: dict[str, Any]
    ) -> None:
        assert add_version(owner, plan, **changes) == ""

    @pytest.mark.parametrize(("changes", "words"), [
        ({"kind": "flat"}, "counts no meter"),
        ({"meter": ""}, "says what it counts"),
        ({"kind": "package"}, "has the fields size"),
        ({"unit": "Mbit/s"}, "is not measured in Mbit/s"),
        ({"meter": "Mails sent"}, "small letters, digits, dots"),
        ({"meter": "m" * 65}, "at most 64 characters"),
        ({"aggregation": "peak", "unit": "CPU", "interval_minutes": "7"}, "7 minutes"),
    ], ids=[
        "flat with a meter", "no meter", "no size", "wrong unit", "no meter's name", "long name",
        "odd interval",
    ])  # fmt: skip
    def test_that_cannot_be_rated_says_why(
        self, owner: Client, plan: Plan, changes: dict[str, Any], words: str
    ) -> None:
        assert words in add_version(owner, plan, **changes)

    def test_is_offered_the_known_meters(self, owner: Client) -> None:
        page = owner.get(reverse("admin:billing_planversion_add")).content.decode()
        (listed,) = re.findall('<datalist id="known-meters">(.*?)</datalist>', page)
        for meter in ("network.sent", "cpu.time.allocated", "invoice.late_fee"):
            assert f'value="{meter}"' in listed

    def test_keeps_how_its_version_counts_roles(
        self, tenant: Tenant, owner: Client, plan: Plan
    ) -> None:
        assert add_version(owner, plan) == ""
        with tenant_scope(tenant.pk):
            version = PlanVersion.objects.get(plan=plan)
            assert version.replica_factor == Decimal("0.5")
            assert version.standby_factor == 0
            price = version.prices.get()
            assert (version.number, price.aggregation, price.code) == (1, "sum", "cpu")

    def test_that_is_no_number_is_called_so(self, owner: Client, plan: Plan) -> None:
        page = add_version(owner, plan, unit_price="abc")
        assert "Enter a number." in page
        assert "needs its unit price" not in page
        # So that a browser sends what was written.
        assert 'type="number" name="prices-0-unit_price"' not in page

    def test_accepts_the_qualities_that_are_ticked(
        self, tenant: Tenant, owner: Client, plan: Plan
    ) -> None:
        page = owner.get(reverse("admin:billing_planversion_add")).content.decode()
        boxes = re.findall(r'<input[^>]*name="prices-0-accepted_qualities"[^>]*>', page)
        ticked = {
            box.split('value="')[1].split('"')[0]
            for box in boxes
            if re.search(r"\schecked[\s>]", box)
        }
        assert len(boxes) == 4
        assert ticked == {"exact", "sampled"}
        assert "A price that accepts no quality would bill nothing." in add_version(
            owner, plan, accepted_qualities=[]
        )
        assert add_version(owner, plan, accepted_qualities=["exact", "estimated"]) == ""
        with tenant_scope(tenant.pk):
            price = Price.objects.get()
            assert price.accepted_qualities == ["exact", "estimated"]
            copy = draft_next_version(plan, effective_from=at(2, 1))
            assert copy.prices.get().accepted_qualities == ["exact", "estimated"]


class TestAVersion:
    @pytest.fixture
    def plan(self, tenant: Tenant) -> Plan:
        with tenant_scope(tenant.pk):
            return begin_story().plan

    def new_version(self, owner: Client, plan: Plan, start: str) -> str:
        page = reverse("admin:billing_plan_new_version", args=[plan.pk])
        form = {"effective_from_0": start, "effective_from_1": "00:00"}
        return owner.post(page, form).content.decode()

    def test_copied_to_before_the_last_one_is_refused_at_its_field(
        self, owner: Client, plan: Plan
    ) -> None:
        page = self.new_version(owner, plan, "2025-12-31")
        assert "The version before takes effect on 2026-01-01." in page
        assert self.new_version(owner, plan, "2027-01-01") == ""

    def test_asks_for_its_date_with_a_calendar_and_an_example(
        self, owner: Client, plan: Plan
    ) -> None:
        page = owner.get(reverse("admin:billing_plan_new_version", args=[plan.pk]))
        shown = page.content.decode()
        assert "DateTimeShortcuts.js" in shown
        assert "In the tenant's time zone, UTC: 2026-01-31 and 14:05." in shown
        assert 'aria-label="Effective from: time"' in shown

    def test_added_before_the_last_one_is_refused(self, owner: Client, plan: Plan) -> None:
        assert "The version before takes effect on 2026-01-01 00:00." in add_version(
            owner, plan, start="2025-06-01"
        )
        assert add_version(owner, plan, start="2026-02-01") == ""

    def test_is_never_moved_behind_the_one_that_follows(
        self, tenant: Tenant, owner: Client, plan: Plan
    ) -> None:
        self.new_version(owner, plan, "2026-03-01")
        with tenant_scope(tenant.pk):
            first = PlanVersion.objects.get(plan=plan, number=1)
            publish_draft(PlanVersion.objects.get(plan=plan, number=2), as_of=at(1, 1))
        page = reverse("admin:billing_planversion_change", args=[first.pk])
        form = {"effective_from_0": "2026-04-01", "effective_from_1": "00:00"}
        assert (
            "The version after takes effect on 2026-03-01 00:00."
            in owner.post(page, form | self.prices(tenant, first)).content.decode()
        )

    def test_keeps_at_least_one_price(self, tenant: Tenant, owner: Client, plan: Plan) -> None:
        with tenant_scope(tenant.pk):
            version = PlanVersion.objects.get(plan=plan)
            assert version.effective_from == JANUARY
        prices = self.prices(tenant, version)
        form = {"effective_from_0": "2026-01-01", "effective_from_1": "00:00"} | VERSION | prices
        page = reverse("admin:billing_planversion_change", args=[version.pk])
        one, both = {"prices-0-DELETE": "on"}, {"prices-0-DELETE": "on", "prices-1-DELETE": "on"}
        assert (
            "A version without prices would bill nothing"
            in owner.post(page, form | both).content.decode()
        )
        assert owner.post(page, form | one).status_code == 302

    def prices(self, tenant: Tenant, version: PlanVersion) -> dict[str, Any]:
        """The version's prices as its page sends them back."""
        with tenant_scope(tenant.pk):
            stored = list(version.prices.order_by("position"))
        form: dict[str, Any] = {
            "prices-TOTAL_FORMS": str(len(stored)),
            "prices-INITIAL_FORMS": str(len(stored)),
        }
        for number, price in enumerate(stored):
            row = PRICE | {
                "code": price.code, "aggregation": price.aggregation,
                "id": str(price.pk), "plan_version": str(version.pk), "label": price.label,
                "position": str(price.position), "meter": price.meter, "unit": price.unit,
                "kind": price.kind, "allowance": "0",
                "unit_price": "" if price.unit_price is None else str(price.unit_price),
                "tiers": '[{"up_to": null, "unit_price": "0.04"}]' if price.tiers else "[]",
                "accepted_qualities": price.accepted_qualities,
            }  # fmt: skip
            form |= {f"prices-{number}-{name}": value for name, value in row.items()}
        return form
