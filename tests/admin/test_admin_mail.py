"""Operators see which e-mails went out, how each kind reads, and send one again."""

import pytest
from django.conf import settings
from django.core import mail as outbox
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tenants.mail import queue
from tenants.mail_delivery import send_due
from tenants.mail_kinds import all_kinds
from tenants.mail_models import MailMessage
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in

pytestmark = pytest.mark.django_db

LIST = "admin:tenants_mailmessage_changelist"
PREVIEW = "admin:tenants_mailmessage_preview"


@pytest.fixture
def operator(tenant: Tenant) -> Client:
    return signed_in(tenant, "operator")


def asked(of: Tenant, kind: str = "new_sign_in", **context: str) -> MailMessage:
    said = {"at": timezone.now().isoformat(), "device": "Lynx", "address": "::1", "url": "x"}
    with tenant_scope(of.pk):
        queue(
            kind=kind, key="one", to=["ann@example.com"], language="en",
            context=said | context, as_of=timezone.now(),
        )  # fmt: skip
        return MailMessage.objects.get()


class TestAPreview:
    @pytest.mark.parametrize("language", dict(settings.LANGUAGES))
    @pytest.mark.parametrize("kind", [each.name for each in all_kinds()])
    def test_shows_each_kind_in_the_tenants_name(
        self, operator: Client, kind: str, language: str
    ) -> None:
        wanted = {"kind": kind, "language": language}
        html = operator.get(reverse(PREVIEW), {**wanted, "shade": "dark"})
        assert "First-Host" in html.content.decode()
        assert f'lang="{language}"' in html.content.decode()
        assert "prefers-color-scheme" not in html.content.decode()
        assert "default-src 'none'" in html["Content-Security-Policy"]
        text = operator.get(reverse(PREVIEW), {**wanted, "form": "text"})
        assert text["Content-Type"].startswith("text/plain")
        assert "First-Host" in text.content.decode()

    def test_leads_to_every_kind(self, operator: Client) -> None:
        page = operator.get(reverse(PREVIEW)).content.decode()
        for kind in all_kinds():
            assert f"?kind={kind.name}&amp;" in page

    def test_of_an_unknown_kind_is_not_found(self, operator: Client) -> None:
        assert operator.get(reverse(PREVIEW), {"kind": "nothing"}).status_code == 404

    def test_is_sent_to_oneself(self, tenant: Tenant, operator: Client) -> None:
        address = f"{reverse(PREVIEW)}?kind=new_sign_in&language=de&form=test"
        assert b"Send yourself a test" in operator.get(address).content
        operator.post(address)
        send_due([tenant.pk], as_of=timezone.now())
        (message,) = outbox.outbox
        assert message.to[0].startswith("operator")
        assert message.subject == "Neue Anmeldung bei Ihrem Konto"

    def test_sends_a_viewer_nothing(self, tenant: Tenant) -> None:
        viewer = signed_in(tenant, "viewer")
        answer = viewer.post(f"{reverse(PREVIEW)}?kind=new_sign_in&form=test")
        assert answer.status_code == 404
        with tenant_scope(tenant.pk):
            assert not MailMessage.objects.exists()


class TestAMessage:
    def test_shows_its_text_and_is_sent_again(self, tenant: Tenant, operator: Client) -> None:
        message = asked(tenant)
        send_due([tenant.pk], as_of=timezone.now())
        address = reverse("admin:tenants_mailmessage_change", args=[message.pk])
        assert b"Lynx" in operator.get(address).content
        chosen = {"action": "send_chosen_again", "_selected_action": [message.pk]}
        operator.post(reverse(LIST), chosen)
        send_due([tenant.pk], as_of=timezone.now())
        assert len(outbox.outbox) == 2

    def test_with_a_secret_shows_it_to_nobody(self, tenant: Tenant, operator: Client) -> None:
        message = asked(tenant, "invitation", url="https://x.example/join/s3cret/", tenant="First")
        address = reverse("admin:tenants_mailmessage_change", args=[message.pk])
        assert b"s3cret" not in operator.get(address).content
        send_due([tenant.pk], as_of=timezone.now())
        chosen = {"action": "send_chosen_again", "_selected_action": [message.pk]}
        answer = operator.post(reverse(LIST), chosen, follow=True)
        assert b"make a new one" in answer.content
