"""What prices fill in for hosts that fell silent is recomputed from a bundle."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from billing.models import InvoiceLine
from billing.operations.plans import Counting
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.billing.proving import (
    MEASURED,
    Proven,
    deliver,
    every_kind,
    prices,
    prove,
    said_of,
    usage_from,
)
from tests.metering.delivering import Agent, batch
from tests.verify.rebuilding import changed_json, contents_of, signed_anew

pytestmark = pytest.mark.django_db


def another_host_goes_on(tenant: Tenant) -> Callable[[datetime], None]:
    """The host of all usage is silent from the third hour on; this one delivers later still."""
    agent = Agent(tenant).enrol()

    def later(first: datetime) -> None:
        more = usage_from(first + timedelta(hours=9, minutes=1), 20)
        for each in more:
            each["application"] = "other"
        assert deliver(agent, batch(*more, measurements=MEASURED)).status_code == 200

    return later


def silent(tenant: Tenant, **chosen: Any) -> Proven:
    later = another_host_goes_on(tenant)
    return prove(tenant, before_closing=later, **chosen)


class TestPricesThatFillGaps:
    @pytest.mark.parametrize("gaps", ["held", "interpolated", "credited"])
    @pytest.mark.parametrize("kinds", [prices, every_kind])
    def test_are_recomputed_while_a_host_is_silent(
        self, tenant: Tenant, tmp_path: Path, gaps: str, kinds: Any
    ) -> None:
        proven = silent(tenant, prices=kinds, counting=Counting(gaps=gaps))
        with tenant_scope(tenant.pk):
            lines = InvoiceLine.objects.filter(facts__coverage__has_key="causes")
            causes = [each for line in lines for each in line.facts["coverage"]["causes"]]
        assert "host-silent" in {each["cause"] for each in causes}
        code, said = said_of(proven.bundle(), tmp_path)
        assert (code, said[-1]) == (0, "PASS"), said[-1]

    def test_are_recomputed_when_the_host_has_spoken_since(
        self, tenant: Tenant, tmp_path: Path
    ) -> None:
        proven = silent(tenant, counting=Counting(gaps="held"))
        before = proven.bundle()
        proven.deliver_more(proven.first + timedelta(hours=6))
        assert proven.bundle() == before
        assert said_of(before, tmp_path)[0] == 0


def _shorter(terms: Any) -> None:
    for each in terms["silences"]:
        each["end"] -= 300_000_000


def _earlier(terms: Any) -> None:
    for each in terms["silences"]:
        each["start"] -= 7_200_000_000


def _of_another(terms: Any) -> None:
    terms["silences"][0]["application"] = terms["silences"][0]["instance"]


class TestASilence:
    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (_shorter, "the raw quantity"),
            (_earlier, "a silence"),
            (_of_another, "a silence"),
        ],
    )
    def test_that_was_not_fails(
        self, tenant: Tenant, tmp_path: Path, change: Callable[[Any], None], told: str
    ) -> None:
        bundle = silent(tenant, counting=Counting(gaps="held")).bundle()
        assert json.loads(contents_of(bundle)["terms.json"])["silences"]
        code, said = said_of(signed_anew(bundle, changed_json("terms.json", change)), tmp_path)
        assert code == 1
        assert said[-1].startswith(f"FAIL: {told}")

    def test_that_nobody_wrote_down_is_not_verified(self, tenant: Tenant, tmp_path: Path) -> None:
        bundle = silent(tenant, counting=Counting(gaps="held")).bundle()
        unknown = changed_json("terms.json", lambda terms: terms.update(silences=None))
        code, said = said_of(signed_anew(bundle, unknown), tmp_path)
        assert code == 1
        assert said[-1].startswith("NOT VERIFIED: ")
        assert any("what a silent host would have used" in line for line in said)
