"""Events are told to whoever has asked for them, once, whatever fails in between."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from django.utils import timezone
from standardwebhooks import WebhookVerificationError

from tenants import outward
from tenants.core.webhooks import ATTEMPTS_MAX
from tenants.mail_models import MailMessage
from tenants.models import Customer, Member, User
from tenants.scope import tenant_scope
from tenants.tasks import deliver_webhooks
from tenants.webhook_delivery import deliver_due, take_due
from tenants.webhook_endpoints import (
    ENDPOINTS_MAX,
    EndpointDisabled,
    TooManyEndpoints,
    add_endpoint,
    change_endpoint,
    disable_endpoint,
    enable_endpoint,
    prune_events,
    remove_endpoint,
    replay,
    rotate_secret,
    send_test,
)
from tenants.webhook_events import UnknownEventType
from tenants.webhook_models import WebhookAttempt, WebhookDelivery, WebhookEndpoint, WebhookEvent
from tenants.webhooks import Happening, emit, emit_all
from tests.tenants.receiving import Receiver, receiving

pytestmark = pytest.mark.django_db


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.WEBHOOKS_TO_PRIVATE_ADDRESSES = True
    with receiving() as one:
        yield one


def paid(key: str = "one", customer: Customer | None = None) -> None:
    emit("invoice.paid", key, {"total": "0.10"}, customer=customer, as_of=timezone.now())


def deliver(tenant_id: UUID, *, after: timedelta = timedelta(0)) -> int:
    return deliver_due([tenant_id], as_of=timezone.now() + after)


def only_delivery() -> WebhookDelivery:
    return WebhookDelivery.objects.select_related("endpoint").get()


class TestAnEvent:
    def test_arrives_signed_and_as_documented(self, inside: UUID, receiver: Receiver) -> None:
        _, secret = add_endpoint(receiver.url, as_of=timezone.now())
        paid()
        assert deliver(inside) == 1
        (message,) = receiver.messages
        said = message.opened(secret)
        assert (said["type"], said["data"]) == ("invoice.paid", {"total": "0.10"})
        assert said["id"] == message.headers["webhook-id"]
        assert message.headers["content-type"] == "application/json"
        assert only_delivery().state == "delivered"
        assert deliver(inside) == 0

    def test_of_one_key_is_told_once(self, inside: UUID, receiver: Receiver) -> None:
        add_endpoint(receiver.url, as_of=timezone.now())
        paid()
        paid()
        emit_all([Happening("invoice.paid", "one", {})] * 2, as_of=timezone.now())
        assert WebhookDelivery.objects.count() == 1

    def test_is_not_told_where_its_cause_is_rolled_back(
        self, inside: UUID, receiver: Receiver
    ) -> None:
        add_endpoint(receiver.url, as_of=timezone.now())
        with transaction.atomic():
            paid()
            transaction.set_rollback(True)
        assert deliver(inside) == 0

    def test_that_nobody_has_asked_for_costs_one_query(
        self, inside: UUID, django_assert_num_queries: Any
    ) -> None:
        add_endpoint("https://example.com/", ["invoice.voided"], as_of=timezone.now())
        with django_assert_num_queries(1):
            emit_all(
                [Happening("invoice.paid", str(each), {}) for each in range(150)],
                as_of=timezone.now(),
            )
        assert not WebhookEvent.objects.exists()

    def test_of_many_is_written_together(
        self, inside: UUID, django_assert_num_queries: Any
    ) -> None:
        add_endpoint("https://example.com/", as_of=timezone.now())
        # Listeners, events, which of them are new, deliveries.
        with django_assert_num_queries(4):
            emit_all(
                [Happening("invoice.paid", str(each), {}) for each in range(150)],
                as_of=timezone.now(),
            )
        assert WebhookDelivery.objects.count() == 150

    def test_of_an_unknown_type_is_refused(self, inside: UUID) -> None:
        with pytest.raises(UnknownEventType):
            emit("invoice.eaten", "one", {}, as_of=timezone.now())


class TestACustomersEndpoint:
    def test_is_told_of_that_customer_alone(self, inside: UUID) -> None:
        pine, oak = (Customer.objects.create(name=each, reference=each) for each in ("pine", "oak"))
        endpoint, _ = add_endpoint("https://example.com/", customer=pine, as_of=timezone.now())
        paid("of pine", pine)
        paid("of oak", oak)
        paid("of nobody")
        told = WebhookDelivery.objects.filter(endpoint=endpoint)
        assert [each.event.key for each in told] == ["of pine"]

    def test_is_not_told_how_the_tenant_works(self, inside: UUID) -> None:
        pine = Customer.objects.create(name="pine", reference="pine")
        add_endpoint("https://example.com/", customer=pine, as_of=timezone.now())
        emit("invoice.created", "draft", {}, customer=pine, as_of=timezone.now())
        assert not WebhookDelivery.objects.exists()
        with pytest.raises(UnknownEventType):
            add_endpoint(
                "https://example.com/", ["agent.silent"], customer=pine, as_of=timezone.now()
            )


class TestAMessageThatIsNotTaken:
    def test_is_sent_again_with_the_same_id_and_body(
        self, inside: UUID, receiver: Receiver
    ) -> None:
        _, secret = add_endpoint(receiver.url, as_of=timezone.now())
        receiver.answers = [(503, "busy"), (204, "")]
        paid()
        deliver(inside)
        assert deliver(inside) == 0
        (attempt,) = WebhookAttempt.objects.all()
        assert (attempt.status, attempt.answer) == (503, "busy")
        assert deliver(inside, after=timedelta(seconds=10)) == 1
        first, second = receiver.messages
        assert first.body == second.body
        assert second.opened(secret)["id"] == first.headers["webhook-id"]
        assert WebhookEndpoint.objects.get().failing_since is None

    def test_says_why_no_answer_came(self, inside: UUID, receiver: Receiver) -> None:
        add_endpoint("http://127.0.0.1:9/", as_of=timezone.now())
        paid()
        deliver(inside)
        assert WebhookAttempt.objects.get().error == "the connection was refused"

    def test_leads_nowhere_else(self, inside: UUID, receiver: Receiver) -> None:
        receiver.answers, receiver.location = [(307, "")], receiver.url
        add_endpoint(receiver.url, as_of=timezone.now())
        paid()
        deliver(inside)
        assert len(receiver.messages) == 1
        assert only_delivery().state == "pending"

    def test_disables_the_endpoint_after_three_days(self, inside: UUID, receiver: Receiver) -> None:
        endpoint, _ = add_endpoint(receiver.url, as_of=timezone.now())
        receiver.answers = [(500, "")]
        paid()
        for attempt in range(1, ATTEMPTS_MAX + 1):
            endpoint.refresh_from_db()
            assert endpoint.is_enabled, f"before attempt {attempt}"
            # As if the waits had passed: what failed, failed that much earlier.
            _pretend_it_began(ago=timedelta(hours=8) * attempt)
            WebhookDelivery.objects.update(next_attempt_at=timezone.now())
            deliver(inside)
        endpoint.refresh_from_db()
        assert endpoint.disabled_because == "nothing was taken for three days"
        assert only_delivery().state == "failed"
        assert len(receiver.messages) == ATTEMPTS_MAX
        paid("later")
        assert WebhookEvent.objects.count() == 1

    def test_of_an_endpoint_that_is_gone_disables_it_at_once(
        self, inside: UUID, receiver: Receiver
    ) -> None:
        receiver.answers = [(410, "")]
        endpoint, _ = add_endpoint(receiver.url, as_of=timezone.now())
        paid()
        deliver(inside)
        endpoint.refresh_from_db()
        assert "410" in endpoint.disabled_because

    def test_tells_its_owners_that_it_was_disabled_once(
        self, inside: UUID, receiver: Receiver
    ) -> None:
        customer = Customer.objects.create(name="Pine Mail", reference="pine")
        for name, role, of in (
            ("own", "owner", customer), ("look", "viewer", customer), ("host", "owner", None),
        ):  # fmt: skip
            person = User.objects.create_user(f"{name}@first.example")
            Member.objects.create(user=person, role=role, customer=of)
        receiver.answers = [(410, "")]
        for of in (customer, None):
            add_endpoint(receiver.url, customer=of, as_of=timezone.now())
        for name in ("one", "two"):
            paid(name, customer=customer)
        deliver(inside)
        mails = {mail.recipient: mail for mail in MailMessage.objects.all()}
        assert set(mails) == {"own@first.example", "host@first.example"}
        assert "/webhooks/" in mails["own@first.example"].context["url"]
        assert "/admin/" in mails["host@first.example"].context["url"]


def _pretend_it_began(*, ago: timedelta) -> None:
    WebhookEndpoint.objects.filter(failing_since__isnull=False).update(
        failing_since=timezone.now() - ago
    )


class TestAWorkerThatIsKilled:
    def test_loses_nothing(self, inside: UUID, receiver: Receiver) -> None:
        add_endpoint(receiver.url, as_of=timezone.now())
        paid()
        now = timezone.now()
        assert len(take_due(inside, as_of=now)) == 1
        assert take_due(inside, as_of=now) == []
        assert deliver(inside, after=timedelta(minutes=3)) == 1
        assert only_delivery().state == "delivered"


class TestAReplay:
    def test_sends_again_what_had_arrived(self, inside: UUID, receiver: Receiver) -> None:
        add_endpoint(receiver.url, as_of=timezone.now())
        paid()
        deliver(inside)
        replay(only_delivery(), as_of=timezone.now())
        deliver(inside)
        first, second = receiver.messages
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert [each.number for each in only_delivery().tries.all()] == [2, 1]

    def test_of_what_was_given_up_has_all_its_attempts_before_it(
        self, inside: UUID, receiver: Receiver
    ) -> None:
        add_endpoint(receiver.url, as_of=timezone.now())
        receiver.answers = [(500, "")]
        paid()
        WebhookDelivery.objects.update(attempts=ATTEMPTS_MAX - 1)
        deliver(inside)
        assert only_delivery().state == "failed"
        replay(only_delivery(), as_of=timezone.now())
        deliver(inside)
        again = only_delivery().next_attempt_at
        assert again is not None
        assert again - timezone.now() < timedelta(seconds=6)

    def test_waits_until_the_endpoint_is_enabled(self, inside: UUID, receiver: Receiver) -> None:
        endpoint, _ = add_endpoint(receiver.url, as_of=timezone.now())
        paid()
        disable_endpoint(endpoint, "for now", as_of=timezone.now())
        with pytest.raises(EndpointDisabled):
            replay(only_delivery(), as_of=timezone.now())
        enable_endpoint(endpoint)
        replay(only_delivery(), as_of=timezone.now())
        assert deliver(inside) == 1


class TestASecret:
    def test_that_was_replaced_signs_for_a_day(self, inside: UUID, receiver: Receiver) -> None:
        endpoint, old = add_endpoint(receiver.url, as_of=timezone.now())
        new = rotate_secret(endpoint, as_of=timezone.now())
        paid()
        deliver(inside)
        (message,) = receiver.messages
        assert message.opened(old) == message.opened(new)
        WebhookEndpoint.objects.update(previous_secret_until=timezone.now())
        paid("a day later")
        deliver(inside)
        receiver.messages[1].opened(new)
        with pytest.raises(WebhookVerificationError):
            receiver.messages[1].opened(old)

    def test_is_not_read_from_the_database(self, inside: UUID) -> None:
        _, secret = add_endpoint("https://example.com/", as_of=timezone.now())
        (row,) = WebhookEndpoint.objects.values()
        assert secret.removeprefix("whsec_") not in str(row)

    def test_survives_a_new_secret_key_while_the_old_one_is_a_fallback(
        self, inside: UUID, receiver: Receiver, settings: Any
    ) -> None:
        _, secret = add_endpoint(receiver.url, as_of=timezone.now())
        paid()
        settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another"
        deliver(inside)
        receiver.messages[0].opened(secret)

    def test_that_cannot_be_read_is_said_with_the_delivery(
        self, inside: UUID, receiver: Receiver, settings: Any
    ) -> None:
        add_endpoint(receiver.url, as_of=timezone.now())
        paid()
        settings.SECRET_KEY = "another"
        deliver(inside)
        assert receiver.messages == []
        assert "SECRET_KEY_FALLBACKS" in WebhookAttempt.objects.get().error


class TestAnEndpoint:
    def test_inside_is_not_added(self, inside: UUID) -> None:
        with pytest.raises(outward.UrlNotUsable):
            add_endpoint("https://10.0.0.1/", as_of=timezone.now())

    def test_gets_a_test_message(self, inside: UUID, receiver: Receiver) -> None:
        endpoint, secret = add_endpoint(receiver.url, ["invoice.paid"], as_of=timezone.now())
        send_test(endpoint, as_of=timezone.now())
        deliver(inside)
        assert receiver.messages[0].opened(secret)["type"] == "webhook.test"

    def test_that_is_removed_is_sent_nothing(self, inside: UUID, receiver: Receiver) -> None:
        endpoint, _ = add_endpoint(receiver.url, as_of=timezone.now())
        paid()
        remove_endpoint(endpoint, as_of=timezone.now())
        paid("later")
        assert deliver(inside) == 0
        assert WebhookDelivery.objects.get().state == "failed"
        prune_events(as_of=timezone.now() + timedelta(days=2))
        assert not WebhookEndpoint.objects.exists()

    def test_can_be_moved_while_messages_wait(self, inside: UUID, receiver: Receiver) -> None:
        endpoint, _ = add_endpoint("http://127.0.0.1:9/", as_of=timezone.now())
        paid()
        change_endpoint(endpoint, url=receiver.url)
        deliver(inside)
        assert len(receiver.messages) == 1

    def test_is_one_of_a_bounded_number(self, inside: UUID) -> None:
        for _ in range(ENDPOINTS_MAX):
            add_endpoint("https://example.com/", as_of=timezone.now())
        with pytest.raises(TooManyEndpoints):
            add_endpoint("https://example.com/", as_of=timezone.now())

    def test_of_another_tenant_hears_nothing(self, tenant: Any, other_tenant: Any) -> None:
        with tenant_scope(other_tenant.pk):
            add_endpoint("https://example.com/", as_of=timezone.now())
        with tenant_scope(tenant.pk):
            paid()
        with tenant_scope(other_tenant.pk):
            assert not WebhookDelivery.objects.exists()


def test_events_are_forgotten_after_thirty_days(inside: UUID) -> None:
    add_endpoint("https://example.com/", as_of=timezone.now())
    paid()
    assert prune_events(as_of=timezone.now() + timedelta(days=29)) == 0
    assert prune_events(as_of=timezone.now() + timedelta(days=31)) == 1
    assert not WebhookDelivery.objects.exists()


class TestTheTask:
    @pytest.mark.django_db(transaction=True)
    def test_sends_for_every_tenant(
        self, tenant: Any, other_tenant: Any, receiver: Receiver
    ) -> None:
        for each in (tenant, other_tenant):
            with tenant_scope(each.pk):
                add_endpoint(receiver.url, as_of=timezone.now())
                for number in range(6):
                    paid(f"{number}")
        assert deliver_webhooks() == 12
        assert len(receiver.messages) == 12
        assert deliver_webhooks() == 0
