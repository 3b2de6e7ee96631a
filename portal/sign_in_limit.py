"""How often a password may be guessed: counted for each e-mail and address together, so that
nobody can lock another person out from elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Final

from django.core.cache import cache
from redis.exceptions import RedisError

FAILURES_MAX: Final = 10
WINDOW_SECONDS: Final = 15 * 60


class FailuresNotCounted(Exception):
    """The cache cannot be reached, so that guessing could not be limited. Nobody gets in."""


def _key(email: str, address: str) -> str:
    # Hashed: what people type into an e-mail field is sometimes their password.
    digest = sha256(f"{email.strip().lower()}\0{address}".encode()).hexdigest()
    return f"sign-in-failures:{digest}"


@contextmanager
def _counting() -> Iterator[None]:
    try:
        yield
    except RedisError as unreachable:
        raise FailuresNotCounted from unreachable


def is_blocked(email: str, address: str) -> bool:
    with _counting():
        failures: int = cache.get(_key(email, address), 0)
    return failures >= FAILURES_MAX


def note_failure(email: str, address: str) -> None:
    """Count one more; the window begins with the first and does not move."""
    key = _key(email, address)
    with _counting():
        if cache.add(key, 1, timeout=WINDOW_SECONDS):
            return
        try:
            cache.incr(key)
        except ValueError:
            # It ended between the two calls.
            cache.add(key, 1, timeout=WINDOW_SECONDS)


def forget_failures(email: str, address: str) -> None:
    with _counting():
        cache.delete(_key(email, address))
