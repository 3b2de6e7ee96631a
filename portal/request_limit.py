"""How often something may be asked for by who is not signed in: counted in the cache."""

from hashlib import sha256
from typing import Final

from django.core.cache import cache
from redis.exceptions import RedisError

HOUR_SECONDS: Final = 3600


class NotCounted(Exception):
    """The cache cannot be reached, so that asking could not be limited."""


def is_over(purpose: str, asked_by: str, *, at_most: int) -> bool:
    """Count one request of `asked_by` (an e-mail or address), and say whether it is more than
    `at_most` in the hour that began with the first. Raises NotCounted."""
    # Hashed: what people type into an e-mail field is sometimes their password.
    key = f"asked:{purpose}:{sha256(asked_by.encode()).hexdigest()}"
    try:
        if cache.add(key, 1, timeout=HOUR_SECONDS):
            return at_most < 1
        try:
            return int(cache.incr(key)) > at_most
        except ValueError:
            # It ended between the two calls.
            cache.add(key, 1, timeout=HOUR_SECONDS)
            return at_most < 1
    except RedisError as unreachable:
        raise NotCounted from unreachable
