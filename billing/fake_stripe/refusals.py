"""Errors in the form in which Stripe reports them."""

from typing import Any, Final, TypeAlias

Fields: TypeAlias = dict[str, Any]
"""An object of the API, or the parameters of a request, as JSON has them."""

_REFERENCE: Final = "https://docs.stripe.com/error-codes"


class Refused(Exception):
    """A request is answered with an error. `begun` tells that an endpoint had begun to carry it
    out: only then is the answer kept under the request's idempotency key."""

    def __init__(self, status: int, kind: str, message: str, **details: object) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.details = {name: value for name, value in details.items() if value is not None}

    def body(self) -> Fields:
        error: Fields = {"type": self.kind, "message": str(self), **self.details}
        if "code" in error:
            error["doc_url"] = f"{_REFERENCE}#{str(error['code']).replace('_', '-')}"
        return {"error": error}


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> Refused:
    """400: the request makes no sense as it is."""
    return Refused(400, "invalid_request_error", message, param=param, code=code)


def missing(what: str, identifier: str, *, param: str = "id") -> Refused:
    """404, or 400 where the id is a parameter: nothing of this account has the id."""
    status = 404 if param == "id" else 400
    message = f"No such {what}: '{identifier}'"
    return Refused(status, "invalid_request_error", message, param=param, code="resource_missing")


def not_in_the_fake(what: str, *, param: str | None = None) -> Refused:
    """400: Stripe may know it, this server does not, and says so instead of passing over it."""
    message = f"The fake Stripe does not know {what}; nothing was done"
    return Refused(400, "invalid_request_error", message, param=param, code="not_in_the_fake")
