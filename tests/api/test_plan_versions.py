"""Plan versions by the API: every kind of price, drafts, what a draft would change."""

import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from billing.core.periods import Period
from billing.operations import Agreement, subscribe
from billing.queries.backtest import BacktestChunk, BacktestedPeriod
from tenants.models import Customer
from tenants.scope import tenant_scope
from tests.api.calling import Program, done, fields, problem, program_of
from tests.api.conftest import Provider
from tests.billing.at_once import at_once
from tests.billing.timeline import at

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
        reason = problem(answer, 422)["errors"][0]["reason"]
        assert "no price has the code 'cpu'" in reason
        assert "there is none" in reason

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

    @pytest.mark.parametrize("totals_only", [False, True])
    def test_gives_the_totals_of_all_subscriptions_over_its_answers(
        self,
        provider: Provider,
        program: Program,
        draft: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
        totals_only: bool,
    ) -> None:
        with tenant_scope(provider.tenant.pk):
            for index in range(60):
                customer = Customer.objects.create(name="C", reference=f"c{index:02}")
                currency = "EUR" if index % 3 else "USD"
                agreed = Agreement(currency=currency)
                subscribe(customer, provider.story.plan, starts_at=at(10, 1), agreed=agreed)
        # The package has the router under the same name.
        monkeypatch.setattr(sys.modules["billing.api.backtests"], "_PERIODS_ENOUGH", 40)
        path = f"/plan-versions/{draft['id']}/backtest"
        ask = {**OCTOBER, "totals_only": totals_only}
        first = done(program.post(path, ask))
        second = done(program.post(path, {**ask, "after": first["next"]}))
        assert (first["subscriptions"], first["subscriptions_done"]) == (61, 50)
        assert (second["subscriptions_done"], second["next"]) == (61, None)
        assert second["as_of"] == first["as_of"]
        other = {**ask, "to": "2026-10-15T00:00:00Z", "after": first["next"]}
        assert fields(program.post(path, other)) == {"after"}
        (euros,) = second["totals"]
        assert (euros["periods"], euros["new"], second["unrated"]) == (41, "4", 20)
        shown = [*first["periods"], *second["periods"]]
        assert len(shown) == (0 if totals_only else 61)

    @pytest.mark.parametrize(
        ("subscriptions", "periods", "looked_at"), [(50, 0, 10), (50, 50, 10), (50, 249, 3)]
    )
    def test_gives_totals_alone_of_some_five_hundred_periods_an_answer(
        self,
        program: Program,
        draft: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
        subscriptions: int,
        periods: int,
        looked_at: int,
    ) -> None:
        period = BacktestedPeriod(
            uuid4(), "C", "c", Period(at(10, 1), at(11, 1)), "EUR", Decimal(1), Decimal(2)
        )
        looks: list[int] = []

        def chunks(*_: object, **__: object) -> Iterator[BacktestChunk]:
            while True:
                looks.append(1)
                yield BacktestChunk([period] * periods, subscriptions, uuid4(), True)

        monkeypatch.setattr(sys.modules["billing.api.backtests"], "backtested_chunks", chunks)
        path = f"/plan-versions/{draft['id']}/backtest"
        answer = done(program.post(path, {**OCTOBER, "totals_only": True}))
        assert len(looks) == looked_at
        assert answer["subscriptions_done"] == looked_at * subscriptions
        totals = [looked_at * periods] if periods else []
        assert [each["periods"] for each in answer["totals"]] == totals
        assert (answer["periods"], answer["next"] is None) == ([], False)

    def test_goes_on_from_its_own_answers_alone(
        self, program: Program, draft: dict[str, Any]
    ) -> None:
        path = f"/plan-versions/{draft['id']}/backtest"
        for after in ("x", "x:y", str(draft["id"])):
            assert fields(program.post(path, {**OCTOBER, "after": after})) == {"after"}

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


class TestChangingADraft:
    @pytest.fixture
    def draft(self, program: Program, path: str) -> dict[str, Any]:
        return dict(done(program.post(path, version(*PERCENTAGE, draft=True)), 201))

    @pytest.fixture
    def own(self, draft: dict[str, Any]) -> str:
        return f"/plan-versions/{draft['id']}"

    @pytest.fixture
    def price(self, own: str, draft: dict[str, Any]) -> str:
        return f"{own}/prices/{draft['prices'][0]['id']}"

    def test_replaces_a_price_in_its_place(
        self, program: Program, own: str, draft: dict[str, Any], price: str
    ) -> None:
        dear = {**CPU, "label": "Processor", "unit_price": "3"}
        changed = done(program.put(price, dear))
        old, (new, care) = draft["prices"][0], changed["prices"]
        assert new == {**old, "label": "Processor", "unit_price": "3"}
        assert care == draft["prices"][1]
        assert done(program.put(price, dear)) == changed == done(program.get(own))

    def test_adds_a_price_after_the_others(self, program: Program, own: str) -> None:
        added = done(program.post(f"{own}/prices", {**CPU, "unit_price": "1"}), 201)
        assert [each["code"] for each in added["prices"]] == ["cpu", "care", "cpu-2"]

    def test_takes_a_price_out_once(
        self, program: Program, own: str, draft: dict[str, Any]
    ) -> None:
        care = f"{own}/prices/{draft['prices'][1]['id']}"
        assert [each["code"] for each in done(program.delete(care))["prices"]] == ["cpu"]
        problem(program.delete(care), 404)
        problem(program.put(care, {**CPU, "unit_price": "1"}), 404)

    def test_keeps_what_others_need(self, program: Program, price: str, own: str) -> None:
        refused = problem(program.delete(price), 409)
        assert "no price has the code 'cpu'" in refused["detail"]
        other = {**CPU, "code": "other", "unit_price": "1"}
        assert fields(program.put(price, other)) == {"price"}
        assert fields(program.put(price, {**CPU, "unit": "GB-hour", "unit_price": "1"})) == {
            "price"
        }
        assert len(done(program.get(own))["prices"]) == 2

    def test_keeps_at_least_one_price(self, program: Program, path: str) -> None:
        lone = done(program.post(path, version(KINDS[0], draft=True)), 201)
        answer = program.delete(f"/plan-versions/{lone['id']}/prices/{lone['prices'][0]['id']}")
        assert "would bill nothing" in problem(answer, 409)["detail"]

    def test_replaces_all_that_it_holds(
        self, program: Program, own: str, draft: dict[str, Any]
    ) -> None:
        body = version(KINDS[1], counting={"primaries": "one"}, takes_effect="at_once")
        changed = done(program.put(own, body))
        assert [each["kind"] for each in changed["prices"]] == ["volume"]
        assert (changed["takes_effect"], changed["counting"]["primaries"]) == ("at_once", "one")
        assert (changed["id"], changed["number"]) == (draft["id"], draft["number"])
        assert changed["published_at"] is None
        assert fields(program.put(own, version(PERCENTAGE[1]))) == {"prices"}

    def test_discards_it(self, program: Program, own: str) -> None:
        assert program.delete(own).status_code == 204
        problem(program.delete(own), 404)
        problem(program.get(own), 404)

    def test_ends_with_publishing(self, program: Program, own: str, price: str) -> None:
        published = done(program.post(f"{own}/publish"))
        cheap = {**CPU, "unit_price": "0"}
        for answer in (
            program.put(own, version(KINDS[0])),
            program.delete(own),
            program.post(f"{own}/prices", cheap),
            program.put(price, cheap),
            program.delete(price),
        ):
            assert "version-published" in problem(answer, 409)["type"]
        assert done(program.get(own)) == published

    def test_is_not_for_a_version_in_use(self, provider: Provider, program: Program) -> None:
        used = f"/plan-versions/{provider.invoice.plan_version_id}"
        assert "version-published" in problem(program.delete(used), 409)["type"]

    def test_shows_a_customer_published_versions_alone(self, provider: Provider, own: str) -> None:
        key = program_of(provider.tenant, customer=provider.story.customer)
        problem(key.get(own), 404)
        done(key.get(f"/plan-versions/{provider.invoice.plan_version_id}"))


@pytest.mark.django_db(transaction=True)
class TestADraftThatTwoChange:
    def test_keeps_one_price_of_two_that_are_taken_out_at_once(
        self, provider: Provider, program: Program, path: str
    ) -> None:
        two = done(program.post(path, version(KINDS[0], KINDS[2], draft=True)), 201)
        own = f"/plan-versions/{two['id']}"

        def remove(price_id: str) -> Callable[[], int]:
            return lambda: int(
                Program(program.secret).delete(f"{own}/prices/{price_id}").status_code
            )

        statuses = at_once(provider.tenant.pk, *(remove(each["id"]) for each in two["prices"]))
        assert sorted(statuses) == [200, 409]
        assert len(done(program.get(own))["prices"]) == 1
