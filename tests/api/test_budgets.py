"""Programs set budgets and read what they told."""

from typing import Any

import pytest

from billing.operations.budget_alerts import look_at_budgets
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.api.calling import Program, done, fields, problem, program_of
from tests.billing.timeline import HOUR_US, Story, at, begin_story, use

pytestmark = pytest.mark.django_db


@pytest.fixture
def story(tenant: Tenant) -> Story:
    with tenant_scope(tenant.pk):
        story = begin_story()
        use(story.shop, at(10, 3), cpu_us=900 * HOUR_US)
        return story


@pytest.fixture
def program(tenant: Tenant) -> Program:
    return program_of(tenant)


def body(story: Story, **more: Any) -> dict[str, Any]:
    return {
        "customer_id": str(story.customer.pk),
        "name": "Hosting",
        "limit": "10",
        "measure": "EUR",
        **more,
    }


class TestABudget:
    def test_is_set_read_changed_and_removed(self, story: Story, program: Program) -> None:
        made = done(program.post("/budgets", body(story, application_id=str(story.shop.pk))), 201)
        path = f"/budgets/{made['id']}"
        assert made["scope"] == "application"
        assert made["thresholds"] == ["50", "80", "forecast", "100"]
        changed = done(program.patch(path, {"limit": "12.5", "at_limit": "ask"}))
        assert (changed["limit"], changed["at_limit"]) == ("12.5", "ask")
        assert done(program.get(path)) == changed
        assert program.delete(path).status_code == 204
        problem(program.get(path), 404)
        assert done(program.get("/budgets"))["data"] == []

    def test_shows_its_figures_and_what_it_told(
        self, tenant: Tenant, story: Story, program: Program
    ) -> None:
        made = done(program.post("/budgets", body(story, at_limit="ask", limit="9")), 201)
        assert made["spent"] is None
        with tenant_scope(tenant.pk):
            look_at_budgets(story.customer, as_of=at(10, 10))
        path = f"/budgets/{made['id']}"
        assert done(program.get(path))["spent"] == "9"
        told = [each for each in done(program.get(f"{path}/alerts"))["data"] if each["told"]]
        assert [each["threshold"] for each in told] == ["100"]
        assert told[0]["asked"]["state"] == "open"

    @pytest.mark.parametrize(
        ("more", "field"),
        [
            ({"limit": "0"}, "limit"),
            ({"measure": "XXQ"}, "measure"),
            ({"meter": "cpu.time"}, "measure"),
            ({"at_limit": "stop"}, "at_limit"),
        ],
    )
    def test_that_is_none_is_refused_with_the_field(
        self, story: Story, program: Program, more: dict[str, Any], field: str
    ) -> None:
        assert fields(program.post("/budgets", body(story, **more))) == {field}

    def test_is_read_with_its_customers_key(
        self, tenant: Tenant, story: Story, program: Program
    ) -> None:
        made = done(program.post("/budgets", body(story)), 201)
        own = program_of(tenant, customer=story.customer)
        assert [each["id"] for each in done(own.get("/budgets"))["data"]] == [made["id"]]
        problem(own.delete(f"/budgets/{made['id']}"), 403)
