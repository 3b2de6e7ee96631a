"""The cards of Stripe's test mode: what happens to whoever pays with them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from billing.fake_stripe.refusals import Fields, Refused


class Asks(StrEnum):
    """When the card's bank wants its owner to authenticate (3-D Secure)."""

    NEVER = "never"
    UNLESS_SET_UP = "unless set up, and whenever the owner is present"
    ON_SESSION = "whenever the owner is present"
    ALWAYS = "always"


class Refunds(StrEnum):
    """What becomes of a refund to the card."""

    SUCCEED = "succeed"
    LATER = "are pending at first"
    FAIL = "fail later"


@dataclass(frozen=True, slots=True)
class Decline:
    """Why a bank says no."""

    code: str
    decline_code: str | None
    message: str

    def refusal(self, **details: object) -> Refused:
        """402, as Stripe answers where a card was declined."""
        return Refused(
            402,
            "card_error",
            self.message,
            code=self.code,
            decline_code=self.decline_code,
            **details,
        )

    def error(self, payment_method: Fields | None) -> Fields:
        """What a PaymentIntent or SetupIntent keeps of it."""
        body: Fields = self.refusal(payment_method=payment_method).body()["error"]
        return body


@dataclass(frozen=True, slots=True)
class Card:
    number: str
    what: str
    brand: str = "visa"
    alias: str | None = None
    asks: Asks = Asks.NEVER
    saving: Decline | None = None
    charging: Decline | None = None
    refunds: Refunds = Refunds.SUCCEED

    def must_authenticate(self, *, off_session: bool, is_set_up: bool) -> bool:
        match self.asks:
            case Asks.NEVER:
                return False
            case Asks.UNLESS_SET_UP:
                return not (off_session and is_set_up)
            case Asks.ON_SESSION:
                return not off_session
            case Asks.ALWAYS:
                return True


_DECLINED: Final = Decline("card_declined", "generic_decline", "Your card was declined.")
_FUNDS: Final = Decline("card_declined", "insufficient_funds", "Your card has insufficient funds.")
_EXPIRED: Final = Decline("expired_card", None, "Your card has expired.")
_PROCESSING: Final = Decline(
    "processing_error", None, "An error occurred while processing your card. Try again later."
)
UNAUTHENTICATED: Final = Decline(
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)
AUTHENTICATION_FAILED: Final = Decline(
    "payment_intent_authentication_failure",
    None,
    "The provided payment method has failed authentication.",
)
NOT_A_TEST_CARD: Final = Decline(
    "card_declined", "live_mode_test_card", "Only the numbers of test cards are taken here."
)
WRONG_NUMBER: Final = Decline("incorrect_number", None, "Your card number is incorrect.")

CARDS: Final = (
    Card("4242424242424242", "pays", alias="pm_card_visa"),
    Card("5555555555554444", "pays (Mastercard)", "mastercard", "pm_card_mastercard"),
    Card(
        "4000002500003155",
        "asks for 3-D Secure once, then pays",
        asks=Asks.UNLESS_SET_UP,
        alias="pm_card_authenticationRequiredOnSetup",
    ),
    Card(
        "4000002760003184",
        "asks for 3-D Secure each time",
        asks=Asks.ALWAYS,
        alias="pm_card_authenticationRequired",
    ),
    Card(
        "4000003800000446",
        "asks for 3-D Secure while you are present",
        asks=Asks.ON_SESSION,
        alias="pm_card_authenticationRequiredSetupForOffSession",
    ),
    Card(
        "4000008260003178",
        "is saved after 3-D Secure, then lacks funds",
        asks=Asks.UNLESS_SET_UP,
        charging=_FUNDS,
        alias="pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
    ),
    Card(
        "4000000000000341",
        "is saved, then declined",
        charging=_DECLINED,
        alias="pm_card_chargeCustomerFail",
    ),
    Card(
        "4000000000000002",
        "is declined",
        saving=_DECLINED,
        charging=_DECLINED,
        alias="pm_card_visa_chargeDeclined",
    ),
    Card(
        "4000000000009995",
        "lacks funds",
        saving=_FUNDS,
        charging=_FUNDS,
        alias="pm_card_visa_chargeDeclinedInsufficientFunds",
    ),
    Card(
        "4000000000000069",
        "has expired",
        saving=_EXPIRED,
        charging=_EXPIRED,
        alias="pm_card_chargeDeclinedExpiredCard",
    ),
    Card(
        "4000000000000119",
        "cannot be processed",
        saving=_PROCESSING,
        charging=_PROCESSING,
        alias="pm_card_chargeDeclinedProcessingError",
    ),
    Card(
        "4000000000007726",
        "pays; refunds are pending at first",
        refunds=Refunds.LATER,
        alias="pm_card_pendingRefund",
    ),
    Card(
        "4000000000005126",
        "pays; refunds fail later",
        refunds=Refunds.FAIL,
        alias="pm_card_refundFail",
    ),
)
BY_NUMBER: Final = {card.number: card for card in CARDS}
BY_ALIAS: Final = {card.alias: card for card in CARDS if card.alias}


def card_with(number: str) -> Card | Decline:
    """The test card with the number, or why there is none."""
    digits = "".join(number.split())
    if not digits.isdecimal() or not 12 <= len(digits) <= 19 or not _is_valid(digits):
        return WRONG_NUMBER
    return BY_NUMBER.get(digits, NOT_A_TEST_CARD)


def _is_valid(digits: str) -> bool:
    """By the check digit (Luhn)."""
    doubled = [int(digit) * (1 + position % 2) for position, digit in enumerate(reversed(digits))]
    return sum(each - 9 * (each > 9) for each in doubled) % 10 == 0
