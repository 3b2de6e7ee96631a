"""An issued invoice as files."""

import json
from io import BytesIO
from typing import Any
from zipfile import ZipFile

import pytest
from django.core import signing

from metering.models import Host, Instance
from tenants.scope import tenant_scope
from tests.api.calling import Program, done, fields, problem, program_of
from tests.api.conftest import Provider

pytestmark = pytest.mark.django_db


@pytest.fixture
def issued(provider: Provider, program: Program) -> str:
    path = f"/invoices/{provider.invoice.pk}"
    done(program.post(f"{path}/finalize"))
    return path


class TestADocument:
    @pytest.mark.parametrize(
        ("form", "content_type", "begins"),
        [
            ("pdf", "application/pdf", b"%PDF-"),
            ("csv", "text/csv; charset=utf-8", b"document,"),
            ("focus", "text/csv; charset=utf-8", b"BilledCost,"),
            ("focus-1.4", "text/csv; charset=utf-8", b"BilledCost,"),
        ],
    )
    def test_is_a_file_with_its_type_and_name(
        self, program: Program, issued: str, form: str, content_type: str, begins: bytes
    ) -> None:
        answer = program.get(f"{issued}/documents/{form}")
        assert (answer.status_code, answer["Content-Type"]) == (200, content_type)
        assert answer["Content-Disposition"].startswith("attachment; filename=")
        assert answer.content.startswith(begins)

    def test_is_that_of_the_invoice_and_is_sent_once(self, program: Program, issued: str) -> None:
        answer = program.get(f"{issued}/documents/json")
        number = done(program.get(issued))["number"]
        assert number in json.dumps(answer.json())
        again = program.get(f"{issued}/documents/json", headers={"If-None-Match": answer["ETag"]})
        assert again.status_code == 304

    def test_is_of_an_issued_invoice_alone(self, provider: Provider, program: Program) -> None:
        for name in ("documents/pdf", "proof"):
            refused = problem(program.get(f"/invoices/{provider.invoice.pk}/{name}"), 409)
            assert "invoice-not-issued" in refused["type"]

    def test_has_one_of_the_forms_there_are(self, program: Program, issued: str) -> None:
        assert fields(program.get(f"{issued}/documents/docx")) == {"form"}

    def test_says_what_an_e_invoice_lacks(self, program: Program, issued: str) -> None:
        assert "no-e-invoice" in problem(program.get(f"{issued}/documents/cii"), 409)["type"]


class TestAProof:
    def test_is_a_bundle_that_the_customer_may_have(self, provider: Provider, issued: str) -> None:
        own = program_of(provider.tenant, customer=provider.story.customer)
        answer: Any = own.get(f"{issued}/proof")
        assert answer["Content-Type"] == "application/zip"
        assert ZipFile(BytesIO(b"".join(answer.streaming_content))).testzip() is None


def test_instances_are_those_of_an_application(provider: Provider, program: Program) -> None:
    shop = str(provider.story.shop.pk)
    found = done(program.get("/instances", application=shop))["data"]
    assert {each["application_id"] for each in found} == {shop}
    own = program_of(provider.tenant, customer=provider.story.customer)
    seen = done(own.get("/instances", application=shop))["data"]
    assert [each["id"] for each in seen] == [each["id"] for each in found]


def test_a_customers_key_is_told_no_host(provider: Provider, program: Program) -> None:
    shop = provider.story.shop
    with tenant_scope(provider.tenant.pk):
        host = Host.objects.create(name="rack-7", environment=shop.environment)
        for where, name in ((host, "rack-7"), (host, "web"), (None, "allocated from rack-7")):
            Instance.objects.create(application=shop, host=where, name=name)
    own = program_of(provider.tenant, customer=provider.story.customer)
    rows = done(own.get("/instances", application=str(shop.pk)))["data"]
    assert "web" in {each["name"] for each in rows}
    told = json.dumps(rows)
    cursor: str | None = ""
    while cursor is not None:
        after: Any = {"cursor": cursor} if cursor else {}
        page = done(own.get("/instances", limit=1, **after))
        cursor = page["next"]
        told += "" if cursor is None else str(signing.b64_decode(cursor.split(":")[0].encode()))
    assert "rack-7" not in told
    assert {each["host"] for each in rows} == {""}
    theirs = done(program.get("/instances", application=str(shop.pk)))["data"]
    assert {each["host"] for each in theirs} >= {"", "rack-7"}
