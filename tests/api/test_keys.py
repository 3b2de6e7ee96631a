"""Who may call, and what for."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.utils import timezone

from tenants.models import ApiKey, Tenant
from tenants.operations import ScopeNotForCustomer, UnknownScope, issue_api_key
from tenants.scope import tenant_scope
from tenants.secrets import digest_of, make_secret
from tests.api.calling import Program, done, problem, program_of
from tests.api.conftest import Provider

pytestmark = pytest.mark.django_db


def stored(program: Program, tenant: Tenant) -> ApiKey:
    with tenant_scope(tenant.pk):
        return ApiKey.objects.get(digest=digest_of(program.secret))


class TestKey:
    def test_lets_a_program_in(self, program: Program) -> None:
        assert done(program.get("/customers")) == {"data": [], "next": None}

    def test_that_does_not_hold_is_refused_alike_whatever_is_wrong(self, tenant: Tenant) -> None:
        revoked, expired = program_of(tenant), program_of(tenant)
        now = timezone.now()
        with tenant_scope(tenant.pk):
            ApiKey.objects.filter(pk=stored(revoked, tenant).pk).update(revoked_at=now)
            ApiKey.objects.filter(pk=stored(expired, tenant).pk).update(expires_at=now)
        unknown = Program(make_secret("hmk", tenant.pk))
        nobodys = Program("hmk_" + "0" * 32 + "_" + "x" * 43)
        answers = [each.get("/customers") for each in (revoked, expired, unknown, nobodys)]
        answers.append(revoked.client.get("/api/v1/customers"))
        answers.append(Program("secret").get("/customers"))
        assert {answer["WWW-Authenticate"] for answer in answers} == {'Bearer realm="hostmeter"'}
        assert len({answer.content for answer in answers}) == 1
        problem(answers[0], 401)

    def test_without_the_scope_learns_which_one_is_missing(self, tenant: Tenant) -> None:
        reader = program_of(tenant, ["customers:read"])
        body = {"reference": "pine", "name": "Pine"}
        refused = problem(reader.post("/customers", body), 403)
        assert refused["scope"] == "customers:write"
        assert "customers:write" in refused["detail"]
        assert done(reader.get("/customers"))["data"] == []

    def test_is_stored_as_its_hash_with_six_characters_to_know_it_by(self, tenant: Tenant) -> None:
        program = program_of(tenant)
        row = stored(program, tenant)
        assert bytes(row.digest) == digest_of(program.secret)
        assert program.secret.split("_", 2)[2].startswith(row.prefix)
        assert len(row.prefix) == 6

    def test_notes_its_use_once_a_minute(self, tenant: Tenant, program: Program) -> None:
        program.get("/customers")
        first = stored(program, tenant).last_used_at
        assert first is not None
        program.get("/customers")
        assert stored(program, tenant).last_used_at == first
        with tenant_scope(tenant.pk):
            ApiKey.objects.update(last_used_at=first - timedelta(minutes=2))
        program.get("/customers")
        later = stored(program, tenant).last_used_at
        assert later is not None
        assert later >= first

    def test_of_a_customer_only_reads(self, provider: Provider) -> None:
        now = timezone.now()
        with tenant_scope(provider.tenant.pk):
            with pytest.raises(ScopeNotForCustomer, match="credit:write"):
                issue_api_key("k", ["credit:write"], customer=provider.story.customer, as_of=now)
            with (
                pytest.raises(IntegrityError, match="api_key_of_a_customer_reads"),
                transaction.atomic(),
            ):
                ApiKey.objects.create(
                    name="k", digest=b"1" * 32, scopes=["credit:write"],
                    customer=provider.story.customer,
                )  # fmt: skip

    @pytest.mark.parametrize("scopes", [[], ["customers:all"]])
    def test_has_scopes_that_exist(self, inside: object, scopes: list[str]) -> None:
        with pytest.raises(UnknownScope, match="customers:read"):
            issue_api_key("k", scopes, as_of=timezone.now())


class TestCommand:
    def test_prints_a_key_that_works(
        self, tenant: Tenant, capsys: pytest.CaptureFixture[str]
    ) -> None:
        call_command("api_key", tenant=tenant.slug, scope=["customers:read"], days=30)
        program = Program(capsys.readouterr().out.strip())
        assert done(program.get("/customers"))["data"] == []
        problem(program.get("/plans"), 403)
        assert stored(program, tenant).expires_at is not None

    def test_says_in_one_line_what_is_wrong(self, provider: Provider) -> None:
        slug = provider.tenant.slug
        for options in (
            {"tenant": "nobody", "scope": ["customers:read"]},
            {"tenant": slug, "scope": ["customers"]},
            {"tenant": slug, "scope": ["customers:read"], "customer": "nobody"},
            {"tenant": slug, "scope": ["customers:write"], "customer": "ours"},
            {"tenant": slug, "scope": ["customers:read"], "days": 0},
            {"tenant": slug, "scope": ["customers:read"], "name": ""},
        ):
            with pytest.raises(CommandError) as refusal:
                call_command("api_key", **options)
            assert len(str(refusal.value).splitlines()) == 1

    def test_can_tie_a_key_to_one_customer(
        self, provider: Provider, capsys: pytest.CaptureFixture[str]
    ) -> None:
        call_command(
            "api_key", tenant=provider.tenant.slug, scope=["customers:read"], customer="ours"
        )
        seen = done(Program(capsys.readouterr().out.strip()).get("/customers"))["data"]
        assert [each["reference"] for each in seen] == ["ours"]
