"""What can go wrong between us and the processor, by what is known afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

import stripe


class GatewayError(Exception):
    """The processor did not do what it was asked."""


class OutcomeUnknown(GatewayError):
    """The request may have taken effect: no answer came, or one that says nothing of it."""


class NotNow(GatewayError):
    """Nothing was done: too many requests. The same request may be made again."""


class Refused(GatewayError):
    """Nothing was done, and nothing would be if it were asked again. `code` is the processor's."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def told_apart() -> Iterator[None]:
    """Turns the library's errors into ours. Declined cards are no error here: whoever pays reads
    them off the payment. Raises OutcomeUnknown, NotNow and Refused."""
    try:
        yield
    except stripe.RateLimitError as error:
        raise NotNow(_words(error)) from error
    except (stripe.InvalidRequestError, stripe.CardError) as error:
        raise Refused(_words(error), error.code or "") from error
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        raise Refused(_words(error), "not_authorised") from error
    except stripe.IdempotencyError as error:
        # 409: the first request with this key is still at work. 400: its parameters differed.
        if error.http_status == 409:
            raise OutcomeUnknown(_words(error)) from error
        raise Refused(_words(error), "idempotency_error") from error
    except stripe.StripeError as error:
        raise OutcomeUnknown(_words(error)) from error


def _words(error: stripe.StripeError) -> str:
    return (error.user_message or str(error) or type(error).__name__)[:400]
