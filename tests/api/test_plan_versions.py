"""Plan versions by the API: every kind of price, drafts, what a draft would change."""

from typing import Any

import pytest

from tenants.scope import tenant_scope
from tests.api.calling import Program, done, problem, program_of
from tests.api.conftest import Provider

pytestmark = pytest.mark.django_db

CPU = {"label": "CPU", "meter": "cpu.time", "unit": "CPU-hour"}
KINDS: list[dict[str, Any]] = [
    {**CPU, "unit_price": "0.02", "maximum": "5", "allowance": "10", "rollover_periods": 2},
    {**CPU, "kind": "volume", "tiers": [{"up_to": None, "unit_price": "1"}]},
    {**CPU, "kind": "package", "unit_price": "5", "definition": {"size": "100"}},
    {
        **CPU,
        "kind": "matrix",
        "definition": {
            "by": ["role"],
            "rows": [{"values": ["primary"], "unit_price": "1"}],
            "default": "2",
        },
    },
    {
        "label": "Traffic",
        "meter": "network.sent",
        "unit": "Mbit/s",
        "aggregation": "percentile",
        "percentile": "95",
        "over": "customer",
        "unit_price": "3",
    },
    {
        "label": "Base",
        "kind": "flat",
        "unit_price": "9",
        "definition": {"timing": "advance", "prorated": True},
    },
]
PERCENTAGE: list[dict[str, Any]] = [
    {**CPU, "code": "cpu", "unit_price": "1"},
    {"label": "Care", "kind": "percentage", "definition": {"percent": "10", "of": ["cpu"]}},
]
OCTOBER = {"from": "2026-10-01T00:00:00Z", "to": "2026-11-01T00:00:00Z"}


def version(*prices: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"effective_from": "2027-01-01T00:00:00Z", "prices": list(prices), **more}


@pytest.fixture
def path(provider: Provider) -> str:
    return f"/plans/{provider.story.plan.pk}/versions"


class TestAVersion:
    @pytest.mark.parametrize("price", KINDS, ids=lambda price: price.get("kind", price["label"]))
    def test_has_prices_of_every_kind(
        self, program: Program, path: str, price: dict[str, Any]
    ) -> None:
        (made,) = done(program.post(path, version(price)), 201)["prices"]
        assert {name: made[name] for name in price if name != "tiers"} == {
            name: value for name, value in price.items() if name != "tiers"
        }

    def test_takes_a_percentage_of_other_prices(self, program: Program, path: str) -> None:
        made = done(program.post(path, version(*PERCENTAGE)), 201)
        assert [price["code"] for price in made["prices"]] == ["cpu", "care"]
        answer = program.post(path, version(PERCENTAGE[1]))
        assert "no price has the code 'cpu'" in problem(answer, 422)["errors"][0]["reason"]

    @pytest.mark.parametrize(
        ("price", "words"),
        [
            ({"kind": "flat", **CPU, "unit_price": "1"}, "counts no meter"),
            ({"kind": "package", **CPU, "unit_price": "1"}, "has the fields size"),
            ({**CPU, "unit_price": "1", "minimum": "2", "maximum": "1"}, "above the maximum"),
            ({"label": "None", "unit_price": "1"}, "which meter it counts"),
            ({"kind": "flat", "label": "F", "unit_price": "1", "definition": {"timing": 0.5}},
             "a text"),
        ],
    )  # fmt: skip
    def test_says_what_is_wrong_with_a_price(
        self, program: Program, path: str, price: dict[str, Any], words: str
    ) -> None:
        (error,) = problem(program.post(path, version(price)), 422)["errors"]
        assert error["field"] == "prices.0"
        assert words in error["reason"]

    def test_counts_as_it_says(self, program: Program, path: str) -> None:
        counting = {"replica_factor": "0.5", "primaries": "one", "gaps": "held"}
        made = done(program.post(path, version(KINDS[0], counting=counting)), 201)
        assert counting.items() <= made["counting"].items()


class TestADraft:
    @pytest.fixture
    def draft(self, program: Program, path: str) -> dict[str, Any]:
        dear = {**CPU, "unit_price": "1"}
        return dict(done(program.post(path, version(dear, draft=True)), 201))

    def test_is_published_once(self, program: Program, draft: dict[str, Any]) -> None:
        assert draft["published_at"] is None
        publish = f"/plan-versions/{draft['id']}/publish"
        assert done(program.post(publish))["published_at"] is not None
        assert "version-published" in problem(program.post(publish), 409)["type"]

    def test_is_run_over_past_usage(
        self, provider: Provider, program: Program, draft: dict[str, Any]
    ) -> None:
        answer = done(program.post(f"/plan-versions/{draft['id']}/backtest", OCTOBER))
        (period,) = answer["periods"]
        assert period["customer_reference"] == "ours"
        assert period["new"] == "4"
        assert answer["totals"][0]["difference"] == period["difference"]
        assert answer["next"] is None
        with tenant_scope(provider.tenant.pk):
            provider.invoice.refresh_from_db()
            assert not provider.invoice.is_issued

    def test_needs_a_period(self, program: Program, draft: dict[str, Any]) -> None:
        backwards = {"from": OCTOBER["to"], "to": OCTOBER["from"]}
        answer = program.post(f"/plan-versions/{draft['id']}/backtest", backwards)
        assert problem(answer, 422)["errors"][0]["field"] == "to"

    def test_looks_at_four_hundred_days_at_most(
        self, program: Program, draft: dict[str, Any]
    ) -> None:
        long = OCTOBER | {"from": "2020-01-01T00:00:00Z"}
        (error,) = problem(program.post(f"/plan-versions/{draft['id']}/backtest", long), 422)[
            "errors"
        ]
        assert (error["field"], error["reason"]) == ("to", "at most 400 days after from")

    def test_is_nothing_for_a_customer_to_see(
        self, provider: Provider, draft: dict[str, Any]
    ) -> None:
        own = program_of(provider.tenant, customer=provider.story.customer)
        versions = done(own.get(f"/plans/{provider.story.plan.pk}"))["versions"]
        assert draft["id"] not in {each["id"] for each in versions}
