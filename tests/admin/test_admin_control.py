"""Operators say what agents are to do, see what came of it, and revoke a key."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from metering.admin_control import clock_in_words
from metering.control import desired_states
from metering.control_models import AgentSettings, AppliedState
from metering.models import Host, HostKey
from tenants.models import Environment, Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in

ADD = "admin:metering_agentsettings_add"


@pytest.fixture
def host(tenant: Tenant) -> Host:
    with tenant_scope(tenant.pk):
        host = Host.objects.create(name="web-1", environment=Environment.objects.get())
        HostKey.objects.create(host=host, key_id="t.key-one", public_key=b"1")
        return host


def tell(host: Host, **changes: Any) -> None:
    """The host reports on the settings that it has now."""
    tenant_id = host.tenant_id
    assert tenant_id is not None
    with tenant_scope(tenant_id):
        state = desired_states(
            [Host.objects.select_related("environment__policy").get()], as_of=timezone.now()
        )[host.pk]
        fields = {
            "etag": state.etag,
            "refused": False,
            "agent_version": "0.2.0",
            "errors": [],
            "probes": {},
            "applied_at": timezone.now(),
            "reported_at": timezone.now(),
        } | changes
        AppliedState.objects.update_or_create(host=host, defaults=fields)


def page(client: Client, host: Host) -> str:
    return client.get(reverse("admin:metering_host_change", args=[host.pk])).content.decode()


def listed(client: Client) -> str:
    return client.get(reverse("admin:metering_host_changelist")).content.decode()


def form(**changes: Any) -> dict[str, Any]:
    return {"rules": "[]", "probes_off": "[]", "own_cgroups": "unknown"} | changes


class TestSettings:
    def test_are_written_by_operators(self, tenant: Tenant, host: Host) -> None:
        rules = [{"name": "mail", "process": "postfix*"}]
        answer = signed_in(tenant, "operator").post(
            reverse(ADD),
            form(host=host.pk, scrape_interval_seconds=30, rules=json.dumps(rules)),
        )
        assert answer.status_code == 302
        with tenant_scope(tenant.pk):
            row = AgentSettings.objects.get()
        assert (row.host_id, row.scrape_interval_seconds, row.rules) == (host.pk, 30, rules)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"scrape_interval_seconds": 7}, "divide 300 seconds"),
            ({"rules": '[{"name": "mail", "run": "x"}]'}, "run is not known"),
            ({"rules": "nonsense"}, "Enter a valid JSON"),
            ({"probes_off": '"network"'}, "Write a list"),
            ({"minimum_agent_version": "new"}, "Write a version as 1.4"),
            ({"key_rotation_days": 0}, "greater than or equal to 1"),
        ],
    )
    def test_say_what_is_wrong(self, tenant: Tenant, changes: dict[str, Any], words: str) -> None:
        answer = signed_in(tenant).post(reverse(ADD), form(**changes))
        assert answer.status_code == 200
        assert words in answer.content.decode()

    def test_stand_once_for_every_host(self, tenant: Tenant) -> None:
        client = signed_in(tenant)
        assert client.post(reverse(ADD), form()).status_code == 302
        again = client.post(reverse(ADD), form())
        assert "There are settings for these hosts already." in again.content.decode()

    @pytest.mark.parametrize("role", ["viewer", "billing"])
    def test_are_not_for_everyone(self, tenant: Tenant, role: str) -> None:
        assert signed_in(tenant, role).get(reverse(ADD)).status_code == 403


class TestAHost:
    def test_shows_whether_it_applied_them(self, tenant: Tenant, host: Host) -> None:
        client = signed_in(tenant)
        assert "none" in page(client, host)
        tell(host, probes={"network": "eBPF, 12 cgroups"})
        assert "applied" in listed(client)
        assert "network: eBPF, 12 cgroups" in page(client, host)
        with tenant_scope(tenant.pk):
            AgentSettings.objects.create(scrape_interval_seconds=30)
        assert "pending" in listed(client)
        tell(host, refused=True, errors=["scrape_interval_seconds must divide"])
        assert "refused" in listed(client)
        assert "scrape_interval_seconds must divide" in page(client, host)

    def test_shows_an_agent_that_is_too_old(self, tenant: Tenant, host: Host) -> None:
        client = signed_in(tenant)
        tell(host)
        assert "older than" not in listed(client)
        with tenant_scope(tenant.pk):
            AgentSettings.objects.create(
                minimum_agent_version="0.10",
                minimum_version_by=timezone.now() - timedelta(days=1),
            )
        assert "0.2.0, older than 0.10, due since " in listed(client)

    @pytest.mark.parametrize(
        ("skew_ms", "words"),
        [
            (None, "-"),
            (400, "right"),
            (-2_300, "2.3 s behind"),
            (7_000, "7.0 s ahead: set it"),
            (-90_000, "90.0 s behind: set it"),
        ],
    )
    def test_shows_how_far_its_clock_is_off(
        self, tenant: Tenant, host: Host, skew_ms: int | None, words: str
    ) -> None:
        with tenant_scope(tenant.pk):
            Host.objects.update(clock_skew_ms=skew_ms)
            assert clock_in_words(Host.objects.get()) == words
        assert words in listed(signed_in(tenant))

    def test_shows_its_keys_and_their_ends(self, tenant: Tenant, host: Host) -> None:
        now = timezone.now()
        with tenant_scope(tenant.pk):
            old = HostKey.objects.get()
            old.expires_at = now + timedelta(hours=20, minutes=5)
            old.save()
            HostKey.objects.create(host=host, key_id="t.key-two", public_key=b"2", replaces=old)
            HostKey.objects.create(host=host, key_id="t.key-three", public_key=b"3", expires_at=now)
        shown = page(signed_in(tenant), host)
        for words in ("key-one", "expiring", "in 20 h", "key-two", "not used yet", "expired"):
            assert words in shown

    def test_with_keys_that_expired_has_none(self, tenant: Tenant, host: Host) -> None:
        with tenant_scope(tenant.pk):
            HostKey.objects.update(expires_at=timezone.now())
        assert "no key" in listed(signed_in(tenant))


class TestRevoking:
    def url(self, host: Host, key: HostKey) -> str:
        return reverse("admin:metering_host_revoke_key", args=[host.pk, key.pk])

    def test_one_key_asks_first_and_leaves_the_others(self, tenant: Tenant, host: Host) -> None:
        with tenant_scope(tenant.pk):
            key = HostKey.objects.get()
            HostKey.objects.create(host=host, key_id="t.key-two", public_key=b"2")
        client = signed_in(tenant, "operator")
        assert b"another valid key" in client.get(self.url(host, key)).content
        assert client.post(self.url(host, key)).status_code == 302
        with tenant_scope(tenant.pk):
            revoked = dict(HostKey.objects.values_list("key_id", "revoked_at"))
        assert revoked["t.key-one"] is not None
        assert revoked["t.key-two"] is None

    def test_is_not_for_viewers_nor_for_other_tenants(
        self, tenant: Tenant, other_tenant: Tenant, host: Host
    ) -> None:
        with tenant_scope(tenant.pk):
            key = HostKey.objects.get()
        assert signed_in(tenant, "viewer").post(self.url(host, key)).status_code == 403
        assert signed_in(other_tenant).post(self.url(host, key)).status_code == 404
        with tenant_scope(tenant.pk):
            assert HostKey.objects.get().revoked_at is None
