"""Refunds: never more than a charge took, all together."""

from typing import Final

from billing.fake_stripe.amounts import shown as amount_shown
from billing.fake_stripe.books import Asked, shown
from billing.fake_stripe.calls import Call, metadata
from billing.fake_stripe.cards import BY_NUMBER, Refunds
from billing.fake_stripe.refusals import Fields, Refused, invalid

CREATE_PARAMS: Final = frozenset(
    {"amount", "charge", "expand", "metadata", "payment_intent", "reason"}
)
# Stripe settles such refunds within days; here within a moment.
SETTLES_AFTER_S: Final = 2
_UNSETTLED_MAX: Final = 1_000


def create_refund(call: Call) -> Fields:
    charge = _charge(call)
    left = charge["amount"] - charge["amount_refunded"]
    if left == 0:
        raise Refused(
            400,
            "invalid_request_error",
            f"Charge {charge['id']} has already been refunded.",
            code="charge_already_refunded",
        )
    asked = call.number("amount")
    amount = left if asked is None else asked
    if not 0 < amount <= left:
        raise invalid(
            f"Refund amount ({amount_shown(amount, charge['currency'])}) is not within what is left"
            f" of the charge ({amount_shown(left, charge['currency'])})",
            param="amount",
        )
    how = BY_NUMBER[charge["_number"]].refunds
    refund = call.made(
        "re",
        "refund",
        amount=amount,
        charge=charge["id"],
        currency=charge["currency"],
        metadata=metadata(call),
        payment_intent=charge["payment_intent"],
        reason=call.text("reason"),
        status="pending" if how is Refunds.LATER else "succeeded",
        _settles=None if how is Refunds.SUCCEED else how.value,
    )
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    call.books.add(call.account, refund, parent=charge["payment_intent"])
    call.happen("refund.created", refund)
    call.keep(charge, "charge.refunded")
    return shown(refund)


def _charge(call: Call) -> Fields:
    identifier, intent_id = call.text("charge"), call.text("payment_intent")
    if (identifier is None) == (intent_id is None):
        raise invalid("Name either the charge or the payment_intent to refund", param="charge")
    if intent_id is not None:
        intent = call.one("payment_intent", "payment_intent", intent_id, param="payment_intent")
        if intent["status"] != "succeeded":
            raise invalid(
                f"This PaymentIntent ({intent_id}) has no successful charge to refund.",
                param="payment_intent",
            )
        identifier = intent["latest_charge"]
    charge = call.one("charge", "charge", identifier or "", param="charge")
    if not charge["paid"]:
        raise invalid(f"Charge {charge['id']} failed and cannot be refunded", param="charge")
    return charge


def settle_refunds(call: Call) -> None:
    """Let refunds that a bank takes its time for succeed or fail, after their time."""
    due = int(call.books.now()) - SETTLES_AFTER_S
    for _, refund in call.books.found(
        call.account, Asked("refund", created_before=due), _UNSETTLED_MAX
    ):
        settles = refund.get("_settles")
        if settles is None:
            continue
        refund["_settles"] = None
        if settles == Refunds.LATER.value:
            call.keep(refund | {"status": "succeeded"}, "refund.updated")
            continue
        charge = call.one("charge", "charge", refund["charge"])
        charge["amount_refunded"] -= refund["amount"]
        charge["refunded"] = False
        call.keep(charge)
        failed = refund | {"status": "failed", "failure_reason": "expired_or_canceled_card"}
        call.keep(failed, "refund.failed")


def retrieve_refund(call: Call) -> Fields:
    settle_refunds(call)
    return shown(call.one("refund", "refund", call.ids[0]))
