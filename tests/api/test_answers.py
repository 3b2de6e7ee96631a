"""What all operations have in common: errors, pages, ETags, limits."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from tenants.models import Customer, Tenant
from tenants.scope import tenant_scope
from tests.api.calling import Program, done, fields, problem, program_of

pytestmark = pytest.mark.django_db


def add_customers(tenant: Tenant, number: int) -> list[str]:
    references = [f"c-{each:02}" for each in range(number)]
    with tenant_scope(tenant.pk):
        for reference in references:
            Customer.objects.create(name=reference, reference=reference)
    return references


class TestRefusal:
    @pytest.mark.parametrize(
        ("body", "wrong"),
        [
            ({}, {"reference", "name"}),
            ({"reference": "a b", "name": "A"}, {"reference"}),
            ({"reference": "a", "name": "A", "vat": "1"}, {"vat"}),
            ({"reference": "a", "name": "A\n"}, {"name"}),
            ({"reference": "a", "name": "A" * 121}, {"name"}),
            ({"reference": "a", "name": "A", "time_zone": "Mars/Olympus"}, {"time_zone"}),
            ({"reference": "a", "name": "A", "billing": {"country": "de"}}, {"billing.country"}),
            ({"reference": "a", "name": 5}, {"name"}),
            ([], {"body"}),
        ],
    )
    def test_names_each_field_and_why(self, program: Program, body: Any, wrong: set[str]) -> None:
        assert fields(program.post("/customers", body)) == wrong

    @pytest.mark.parametrize("body", [b"{", b'{"name": NaN}', b'{"name": "\xff"}', b"[" * 100_000])
    def test_of_what_is_no_json_is_400(self, program: Program, body: bytes) -> None:
        problem(program.post("/customers", body), 400)

    def test_of_another_content_type_or_a_coding_is_415(self, program: Program) -> None:
        problem(program.post("/customers", {}, content_type="text/plain"), 415)
        problem(program.post("/customers", {}, headers={"Content-Encoding": "gzip"}), 415)

    def test_of_a_body_over_its_bound_is_413(self, program: Program) -> None:
        problem(program.post("/customers", b" " * (256 * 1024 + 1)), 413)

    def test_of_an_unknown_or_repeated_parameter_names_it(self, program: Program) -> None:
        assert fields(program.get("/customers", custmer="1")) == {"custmer"}
        assert fields(program.get("/customers?limit=1&limit=2")) == {"limit"}

    @pytest.mark.parametrize("limit", ["0", "201", "x", "1.5"])
    def test_of_a_page_out_of_bounds_names_the_limit(self, program: Program, limit: str) -> None:
        assert fields(program.get("/customers", limit=limit)) == {"limit"}

    def test_of_another_method_says_which_is_right(self, program: Program) -> None:
        answer = program.client.delete("/api/v1/customers")
        problem(answer, 405)
        assert set(answer["Allow"].split(", ")) == {"GET", "POST"}

    def test_of_an_unknown_address_is_a_problem_too(self, program: Program) -> None:
        problem(program.get("/invoice"), 404)
        problem(program.get("/invoices/1"), 404)


class TestPages:
    def test_hold_every_row_once_in_order(self, tenant: Tenant, program: Program) -> None:
        references = add_customers(tenant, 7)
        seen: list[str] = []
        cursor: str | None = None
        for _ in range(3):
            query = {"limit": 3} if cursor is None else {"limit": 3, "cursor": cursor}
            page = done(program.get("/customers", **query))
            seen += [row["reference"] for row in page["data"]]
            cursor = page["next"]
        assert seen == references
        assert cursor is None

    def test_are_not_moved_by_rows_that_go(self, tenant: Tenant, program: Program) -> None:
        references = add_customers(tenant, 4)
        first = done(program.get("/customers", limit=2))
        with tenant_scope(tenant.pk):
            Customer.objects.filter(reference__in=references[:2]).delete()
        rest = done(program.get("/customers", limit=2, cursor=first["next"]))
        assert [row["reference"] for row in rest["data"]] == references[2:]

    def test_take_no_cursor_that_they_have_not_given(
        self, tenant: Tenant, program: Program
    ) -> None:
        add_customers(tenant, 2)
        cursor = done(program.get("/customers", limit=1))["next"]
        assert fields(program.get("/customers", cursor=cursor + "x")) == {"cursor"}
        assert fields(program.get("/plans", cursor=cursor)) == {"cursor"}


class TestEtag:
    def test_spares_what_is_known(self, tenant: Tenant, program: Program) -> None:
        add_customers(tenant, 1)
        etag = program.get("/customers")["ETag"]
        known = program.get("/customers", headers={"If-None-Match": f'"other", {etag}'})
        assert (known.status_code, known.content, known["ETag"]) == (304, b"", etag)

    def test_changes_with_what_is_read(self, tenant: Tenant, program: Program) -> None:
        etag = program.get("/customers")["ETag"]
        add_customers(tenant, 1)
        assert done(program.get("/customers", headers={"If-None-Match": etag}))["data"]


class TestRate:
    def test_over_the_keys_limit_asks_to_wait(self, tenant: Tenant, settings: Settings) -> None:
        settings.API_REQUESTS_PER_MINUTE_KEY, settings.API_REQUESTS_BURST_KEY = 1, 3
        program, other = program_of(tenant), program_of(tenant)
        for _ in range(3):
            done(program.get("/customers"))
        refused = program.get("/customers")
        problem(refused, 429)
        assert 55 <= int(refused["Retry-After"]) <= 60
        assert refused["RateLimit"].startswith(f'"key";r=0;t={refused["Retry-After"]}, "tenant"')
        done(other.get("/customers"))

    def test_over_the_tenants_limit_stops_all_its_keys(
        self, tenant: Tenant, settings: Settings
    ) -> None:
        settings.API_REQUESTS_PER_MINUTE_TENANT, settings.API_REQUESTS_BURST_TENANT = 1, 2
        answers = [program_of(tenant).get("/customers") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 429, 429]

    def test_of_a_refused_request_takes_nothing(self, tenant: Tenant, settings: Settings) -> None:
        settings.API_REQUESTS_PER_MINUTE_TENANT, settings.API_REQUESTS_BURST_TENANT = 1, 1
        program = program_of(tenant)
        left = [program.get("/customers")["RateLimit"].split(";")[1] for _ in range(3)]
        assert left == ["r=299", "r=299", "r=299"]

    def test_is_told_with_every_answer(self, program: Program, settings: Settings) -> None:
        settings.API_REQUESTS_PER_MINUTE_KEY, settings.API_REQUESTS_BURST_KEY = 40, 100
        answer = program.get("/customers")
        assert answer["RateLimit-Policy"] == '"key";q=100;w=150, "tenant";q=3000;w=30'
        assert answer["RateLimit"] == '"key";r=99;t=2, "tenant";r=2999;t=1'

    def test_holds_without_the_cache_in_each_process(
        self, program: Program, settings: Settings
    ) -> None:
        settings.REDIS_URL = "redis://127.0.0.1:1/0"
        settings.API_REQUESTS_PER_MINUTE_KEY, settings.API_REQUESTS_BURST_KEY = 1, 25
        for _ in range(25):
            done(program.get("/customers"))
        problem(program.get("/customers"), 429)


@pytest.mark.django_db(transaction=True)
class TestRateOfManyAtOnce:
    def test_is_exact(self, program: Program, settings: Settings) -> None:
        settings.API_REQUESTS_PER_MINUTE_KEY, settings.API_REQUESTS_BURST_KEY = 1, 20

        def call() -> list[int]:
            try:
                client = Program(program.secret)
                return [client.get("/customers").status_code for _ in range(10)]
            finally:
                connection.close()

        with ThreadPoolExecutor(6) as pool:
            calls = [pool.submit(call) for _ in range(6)]
            answers = [status for each in calls for status in each.result(timeout=60)]
        assert Counter(answers) == {200: 20, 429: 40}


def test_the_document_is_for_everyone(program: Program) -> None:
    document = program.client.get("/api/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert "hmk_" not in json.dumps(document["paths"])
