"""What the processor tells us is believed only where it signed it, and only as a hint."""

import hmac
import json
import time
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import Client

from billing.core.collecting import attempt_of_key, idempotency_key
from billing.fake_stripe import DEMO_WEBHOOK_SECRET
from billing.models import PayingCustomer, Payment, PaymentAttempt, ProcessorEvent
from billing.operations.collecting import collect
from billing.payment_tasks import reconcile_tenant
from billing.processor_events import handle_event, waiting_events
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.billing.payments.conftest import Billed, Fake

pytestmark = pytest.mark.django_db
URL = "/webhooks/stripe/first-host/"


def body(attempt: PaymentAttempt, event_id: str = "evt_1", kind: str = "succeeded") -> str:
    about = {"object": "payment_intent", "id": "pi_any", "metadata": {"attempt": attempt.key}}
    return json.dumps({"id": event_id, "type": f"payment_intent.{kind}", "data": {"object": about}})


def tell(text: str, *, secret: str = DEMO_WEBHOOK_SECRET, age_s: int = 0, url: str = URL) -> int:
    moment = int(time.time()) - age_s
    mac = hmac.new(secret.encode(), f"{moment}.{text}".encode(), "sha256").hexdigest()
    signature = f"t={moment},v1={mac}"
    answer = Client().post(
        url, text, content_type="application/json", headers={"Stripe-Signature": signature}
    )
    return answer.status_code


@pytest.fixture
def lost(billed: Billed, fake: Fake) -> PaymentAttempt:
    """Charged, with the answer lost: the attempt waits for word."""
    billed.card()
    fake.fail(answer_lost_percent=100)
    with tenant_scope(billed.tenant_id):
        attempt = collect(billed.invoice, as_of=billed.as_of)
    reconcile_tenant(billed.tenant_id, as_of=billed.as_of + timedelta(minutes=3))
    fake.fail()
    return attempt


def handle(billed: Billed) -> None:
    with tenant_scope(billed.tenant_id):
        rows = waiting_events()
    for row in rows:
        handle_event(billed.tenant_id, row, as_of=billed.as_of + timedelta(minutes=4))


class TestAnEvent:
    def test_settles_the_attempt_that_it_is_about(
        self, billed: Billed, lost: PaymentAttempt
    ) -> None:
        assert tell(body(lost)) == 200
        handle(billed)
        assert billed.read().status == "paid"

    def test_is_stored_once_however_often_it_comes(
        self, billed: Billed, lost: PaymentAttempt
    ) -> None:
        for _ in range(3):
            assert tell(body(lost)) == 200
        handle(billed)
        with tenant_scope(billed.tenant_id):
            assert ProcessorEvent.objects.get().body == body(lost)

    @pytest.mark.parametrize("kind", ["payment_failed", "canceled", "created"])
    def test_that_comes_late_moves_nothing_back(
        self, billed: Billed, lost: PaymentAttempt, kind: str
    ) -> None:
        tell(body(lost))
        tell(body(lost, "evt_2", kind))
        handle(billed)
        with tenant_scope(billed.tenant_id):
            assert PaymentAttempt.objects.get().state == "succeeded"
            assert waiting_events() == []

    def test_that_lies_about_the_outcome_is_looked_into(self, billed: Billed, fake: Fake) -> None:
        """Even a signed event is not believed: the processor is asked."""
        billed.card("pm_card_chargeCustomerFail")
        with tenant_scope(billed.tenant_id):
            attempt = collect(billed.invoice, as_of=billed.as_of)
        reconcile_tenant(billed.tenant_id, as_of=billed.as_of + timedelta(minutes=3))
        tell(body(attempt))
        handle(billed)
        assert billed.read().status == "finalized"

    def test_that_could_not_be_handled_waits_and_says_why(
        self, billed: Billed, lost: PaymentAttempt
    ) -> None:
        text = json.dumps({"id": "evt_9", "type": "refund.updated", "data": {"object": {
            "object": "checkout.session", "id": "cs_gone", "metadata": {"attempt": lost.key},
        }}})  # fmt: skip
        assert tell(text) == 200
        handle(billed)
        with tenant_scope(billed.tenant_id):
            assert ProcessorEvent.objects.get().handled_at is not None

    def test_never_changes(self, billed: Billed, lost: PaymentAttempt) -> None:
        tell(body(lost))
        with tenant_scope(billed.tenant_id), pytest.raises(IntegrityError), transaction.atomic():
            ProcessorEvent.objects.update(body="{}")


class TestForged:
    @pytest.mark.parametrize("how", [{"secret": "whsec_other"}, {"age_s": 301}], ids=str)
    def test_events_are_refused(
        self, billed: Billed, lost: PaymentAttempt, how: dict[str, object]
    ) -> None:
        assert tell(body(lost), **how) == 400  # type: ignore[arg-type]
        with tenant_scope(billed.tenant_id):
            assert not ProcessorEvent.objects.exists()

    def test_events_of_no_tenant_answer_as_those_that_are_not_signed(
        self, billed: Billed, lost: PaymentAttempt
    ) -> None:
        signed, unsigned = f"{URL}", "/webhooks/stripe/nobody/"
        assert tell(body(lost), secret="x", url=signed) == tell(body(lost), url=unsigned) == 400

    @pytest.mark.parametrize("text", ["", "{}", "[]", "nonsense", '{"id": 1}'])
    def test_bodies_are_refused(self, billed: Billed, text: str) -> None:
        assert tell(text) == 400

    def test_large_ones_are_refused(self, billed: Billed) -> None:
        assert tell("x" * (600 * 1024)) == 413


def test_an_event_reaches_the_tenant_of_its_address_alone(
    billed: Billed, lost: PaymentAttempt, other_tenant: Tenant
) -> None:
    """Tenants may share an account: what is genuine, and another's, is taken and not kept."""
    assert tell(body(lost), url="/webhooks/stripe/second-host/") == 200
    with tenant_scope(other_tenant.pk):
        assert not ProcessorEvent.objects.exists()
    assert billed.read().status == "finalized"


@pytest.mark.parametrize(
    "about",
    [
        {"object": "customer", "id": "cus_x", "customer": "cus_of_nobody"},
        {"object": "refund", "id": "re_x", "payment_intent": "pi_of_nobody"},
        {"object": "payment_intent", "id": "pi_x", "metadata": {"attempt": "other-1"}},
        {"object": "balance"},
    ],
    ids=lambda about: about["object"],
)
def test_an_event_about_nothing_of_ours_is_not_kept(
    billed: Billed, about: dict[str, object]
) -> None:
    text = json.dumps({"id": "evt_1", "type": "some.event", "data": {"object": about}})

    assert tell(text) == 200

    with tenant_scope(billed.tenant_id):
        assert not ProcessorEvent.objects.exists()


@pytest.mark.parametrize("kind", ["customer", "refund"])
def test_an_event_about_a_customer_or_a_refund_of_ours_is_kept(
    billed: Billed, lost: PaymentAttempt, kind: str
) -> None:
    tell(body(lost))
    handle(billed)
    with tenant_scope(billed.tenant_id):
        payer, payment = PayingCustomer.objects.get(), Payment.objects.get()
    more = {"customer": payer.processor_id, "payment_intent": payment.reference}
    name = "customer" if kind == "customer" else "payment_intent"
    about = {"object": kind, "id": "any", name: more[name]}

    tell(json.dumps({"id": "evt_2", "type": f"{kind}.updated", "data": {"object": about}}))

    with tenant_scope(billed.tenant_id):
        assert ProcessorEvent.objects.filter(event_id="evt_2").exists()


def test_a_key_names_its_attempt() -> None:
    invoice = uuid4()
    assert attempt_of_key(idempotency_key(invoice, 3)) == (invoice, 3)
    for other in ("", "hostmeter-3", "x-1-2", f"other-{invoice}-3", f"hostmeter-{invoice}-x"):
        assert attempt_of_key(other) is None


def test_the_command_replays_what_was_handled(
    billed: Billed, lost: PaymentAttempt, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(body(lost))
    chosen = ("replay_processor_events", "--tenant", "first-host", "--event", "evt_1")
    call_command(*chosen, "--dry-run")
    assert billed.read().status == "finalized"
    for _ in range(2):
        call_command(*chosen)
    assert capsys.readouterr().out.splitlines()[-1] == "payment_intent.succeeded evt_1: handled"
    assert billed.read().status == "paid"
    with tenant_scope(billed.tenant_id):
        assert Payment.objects.count() == 1
    with pytest.raises(CommandError, match="no such event"):
        call_command(*chosen[:-1], "evt_of_nobody")
    with pytest.raises(CommandError, match="say either --event"):
        call_command(*chosen[:3])
