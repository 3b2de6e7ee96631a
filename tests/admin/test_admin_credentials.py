"""All credentials on one page, and keys that are rotated."""

from datetime import timedelta

from django.urls import reverse
from django.utils import timezone

from metering.models import Host, HostKey
from tenants.models import ApiKey, Environment, Tenant
from tenants.operations import KEY_OVERLAP, issue_api_key, issue_enrolment_token
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.api.calling import Program

PAGE = reverse("admin:metering_host_credentials")


def fill(tenant: Tenant, word: str) -> str:
    """One of each kind; the API key."""
    now = timezone.now()
    with tenant_scope(tenant.pk):
        environment = Environment.objects.create(name=f"{word}-env")
        issue_enrolment_token(environment, as_of=now)
        host = Host.objects.create(name=f"{word}-host", environment=environment)
        HostKey.objects.create(host=host, key_id=f"t.{word}", public_key=word[:1].encode() * 32)
        return issue_api_key(f"{word}-program", ["customers:read"], as_of=now)


class TestThePage:
    def test_says_what_to_do_while_there_is_nothing(self, tenant: Tenant) -> None:
        shown = signed_in(tenant).get(PAGE).content.decode()
        for words in (
            "No token was issued yet",
            "No host has enrolled yet",
            "No program has a key",
        ):
            assert words in shown

    def test_shows_each_kind_and_how_a_key_is_used(self, tenant: Tenant) -> None:
        secret = fill(tenant, "ours")
        assert Program(secret).get("/customers").status_code == 200
        client = signed_in(tenant, "operator")
        shown = client.get(PAGE).content.decode()
        for words in ("ours-env", "ours-host", "ours-program", "operator0@demo.example", "Rotate"):
            assert words in shown
        assert "127.0.0.1" in shown
        assert secret not in shown

    def test_shows_nothing_of_another_tenant(self, tenant: Tenant, other_tenant: Tenant) -> None:
        fill(other_tenant, "theirs")
        assert "theirs" not in signed_in(tenant).get(PAGE).content.decode()
        assert signed_in(None).get(PAGE).status_code == 403

    def test_lets_a_viewer_look_and_do_nothing(self, tenant: Tenant) -> None:
        fill(tenant, "ours")
        shown = signed_in(tenant, "viewer").get(PAGE).content.decode()
        assert "ours-program" in shown
        for words in ("Rotate", "Issue a key", ">Revoke<", "Invite somebody"):
            assert words not in shown


class TestRotating:
    def test_gives_a_key_that_may_the_same_and_ends_the_former_in_a_day(
        self, tenant: Tenant
    ) -> None:
        former = fill(tenant, "ours")
        with tenant_scope(tenant.pk):
            key = ApiKey.objects.get()
        client = signed_in(tenant)
        rotate = reverse("admin:tenants_apikey_rotate", args=[key.pk])
        assert b"holds for a day" in client.get(rotate).content
        shown = client.post(rotate)
        assert shown["Cache-Control"] == "no-store"
        secret = next(word for word in shown.content.decode().split('"') if "hmk_" in word)
        secret = "hmk_" + secret.split("hmk_")[1].split("<")[0].strip()
        for each in (former, secret):
            assert Program(each).get("/customers").status_code == 200
        with tenant_scope(tenant.pk):
            old, new = ApiKey.objects.order_by("created_at")
            assert old.expires_at is not None
            assert old.expires_at <= timezone.now() + KEY_OVERLAP
            assert (new.scopes, new.expires_at) == (old.scopes, None)
            ApiKey.objects.filter(pk=old.pk).update(
                expires_at=timezone.now() - timedelta(seconds=1)
            )
        assert Program(former).get("/customers").status_code == 401
        assert b"expired already" in client.post(rotate, follow=True).content
