"""From a request to its answer: who asks, what for, whether it was answered before.

The rules for idempotency keys are those that Stripe documents: the answer to the first request
that an endpoint began to carry out is kept, be it an error or a 500; another request with the key
has to be the same; one that arrives while the first is being carried out is refused; after 24 hours
the key is forgotten. Requests that are refused for their parameters are not kept.
"""

import hashlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urlsplit

from billing.fake_stripe.books import Books, shown
from billing.fake_stripe.calls import Call
from billing.fake_stripe.faults import Fault, Faults
from billing.fake_stripe.forms import decoded
from billing.fake_stripe.refusals import Fields, Refused, invalid, not_in_the_fake
from billing.fake_stripe.routes import Route, route_to
from billing.fake_stripe.shapes import checked, shape

KEY_LENGTH_MAX: Final = 255
KEYS_KEPT_S: Final = 24 * 3600
EXPAND_MAX: Final = 10
_KINDS: Final = {
    "ch": "charge", "cus": "customer", "pi": "payment_intent", "pm": "payment_method",
    "re": "refund", "seti": "setup_intent", "cs": "checkout.session",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    form: str
    secret: str
    idempotency_key: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """`is_lost`: what was asked for is done or not, and the connection ends without a word."""

    status: int
    body: Fields
    headers: Mapping[str, str] = field(default_factory=dict)
    is_lost: bool = False


class Desk:
    """Answers requests, from as many threads as there are."""

    def __init__(self, books: Books, base_url: str) -> None:
        self.books = books
        self.base_url = base_url
        self.faults = Faults()
        self._busy: set[tuple[str, str]] = set()
        self._busy_lock = threading.Lock()

    def answer(self, request: Request) -> Answer:
        try:
            return self._answer(request)
        except Refused as refused:
            return Answer(refused.status, refused.body())

    def _answer(self, request: Request) -> Answer:
        account = account_of(request.secret)
        route, ids = route_to(request.method, request.path)
        fields = _checked(route, decoded(request.form))
        call = Call(self.books, self.faults, account, self.base_url, ids, fields)
        key = request.idempotency_key
        if request.method != "POST" or key is None:
            with self.books.transaction():
                return _carried_out(route, call)
        if not 0 < len(key) <= KEY_LENGTH_MAX:
            raise invalid(f"Idempotency keys have 1 to {KEY_LENGTH_MAX} characters")
        fault = self._fault(request.path, key)
        if fault is Fault.RATE_LIMITED:
            raise Refused(
                429, "invalid_request_error", "Too many requests at once", code="rate_limit"
            )
        if fault is Fault.REQUEST_LOST:
            return Answer(0, {}, is_lost=True)
        with self._in_flight(account, key):
            if self.faults.answer_delay_ms:
                time.sleep(self.faults.answer_delay_ms / 1000)
            answer = self._once(route, call, request, key, fault)
        return replace(answer, is_lost=True) if fault is Fault.ANSWER_LOST else answer

    def _fault(self, path: str, key: str) -> Fault:
        if not path.startswith(self.faults.paths):
            return Fault.NONE
        with self.books.transaction():
            return self.faults.of_request(path, key, self.books.count(f"tries {key}"))

    @contextmanager
    def _in_flight(self, account: str, key: str) -> Iterator[None]:
        with self._busy_lock:
            if (account, key) in self._busy:
                raise Refused(
                    409,
                    "idempotency_error",
                    "There is another request in progress with this Idempotency-Key",
                    code="idempotency_key_in_use",
                )
            self._busy.add((account, key))
        try:
            yield
        finally:
            with self._busy_lock:
                self._busy.discard((account, key))

    def _once(self, route: Route, call: Call, request: Request, key: str, fault: Fault) -> Answer:
        digest = hashlib.sha256(f"{request.path}\n{request.form}".encode()).hexdigest()
        with self.books.transaction():
            kept = _kept_answer(call, key, digest)
            if kept is not None:
                return kept
            if fault is Fault.STORED_500_UNDONE:
                answer = _failed()
            else:
                answer = _carried_out(route, call)
                if fault is Fault.STORED_500_DONE:
                    answer = _failed()
            self.books.run(
                "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?)",
                call.account, key, digest, answer.status, json.dumps(answer.body),
                self.books.now(),
            )  # fmt: skip
            return answer


def account_of(secret: str) -> str:
    """The account that a secret key opens: every test key has one. Raises Refused."""
    if not secret.startswith(("sk_test_", "rk_test_")):
        raise Refused(401, "invalid_request_error", "The fake Stripe takes keys of test mode only")
    return f"acct_{hashlib.sha256(secret.encode()).hexdigest()[:16]}"


def _checked(route: Route, given: Fields) -> Fields:
    if route.shape is None:
        if given:
            raise invalid("No parameters are expected here", code="parameter_unknown")
        return {}
    fields = checked(shape(route.shape), given)
    for name in fields:
        if route.knows is not None and name not in route.knows:
            raise not_in_the_fake(f"the parameter {name} here", param=name)
    return fields


def _kept_answer(call: Call, key: str, digest: str) -> Answer | None:
    pruned = call.books.now() - KEYS_KEPT_S
    call.books.run("DELETE FROM answers WHERE account = ? AND key = ? AND created < ?",
                   call.account, key, pruned)  # fmt: skip
    rows = call.books.run("SELECT digest, status, body FROM answers WHERE account = ? AND key = ?",
                          call.account, key)  # fmt: skip
    if not rows:
        return None
    kept_digest, status, body = rows[0]
    if kept_digest != digest:
        raise Refused(
            400,
            "idempotency_error",
            "Keys for idempotent requests can only be used with the same parameters they were first"
            " used with",
        )
    return Answer(status, json.loads(body), {"Idempotent-Replayed": "true"})


def _failed() -> Answer:
    message = "An unknown error occurred"
    return Answer(500, {"error": {"type": "api_error", "message": message}})


def _carried_out(route: Route, call: Call) -> Answer:
    # A declined card is an answer as well: what came of it stays, so there is no going back.
    try:
        body = route.endpoint(call)
    except Refused as refused:
        return Answer(refused.status, refused.body())
    return Answer(200, _expanded(call, body))


def _expanded(call: Call, body: Fields) -> Fields:
    """With objects instead of their ids where the request asks for that. Raises Refused."""
    wanted = call.fields.get("expand")
    paths = wanted if isinstance(wanted, list) else []
    if len(paths) > EXPAND_MAX:
        raise invalid(f"At most {EXPAND_MAX} fields can be expanded", param="expand")
    for path in paths:
        _expand(call, body, str(path).split("."))
    return body


def _expand(call: Call, body: Fields, path: list[str]) -> None:
    name, *rest = path
    if name not in body:
        raise invalid(f"This property cannot be expanded: {name}", param="expand")
    value = body[name]
    if isinstance(value, str):
        kind = _KINDS.get(value.split("_")[0], "")
        found = call.books.get(call.account, kind, value)
        value = body[name] = shown(found) if found else value
    for each in value if isinstance(value, list) else [value]:
        if rest and isinstance(each, dict):
            _expand(call, each, rest)


def path_of(target: str) -> tuple[str, str]:
    """A request line's path, and its query as a form."""
    parts = urlsplit(target)
    return parts.path, parts.query
