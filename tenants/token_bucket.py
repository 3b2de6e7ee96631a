"""A bucket holds up to `burst` tokens and gets `per_minute` back, steadily; a request takes one.

Exact, in whole parts: a token is TOKEN_PARTS of them, and each microsecond brings `per_minute`
back. Kept is what is missing, so that nothing kept means a full bucket. tenants.buckets holds the
same rule for all processes, as a script of the cache.
"""

from dataclasses import dataclass
from typing import Final

TOKEN_PARTS: Final = 60_000_000
_SECOND_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class TokenLimit:
    """Both at least 1."""

    per_minute: int
    burst: int

    @property
    def parts(self) -> int:
        return self.burst * TOKEN_PARTS

    @property
    def seconds_to_fill(self) -> int:
        """From empty, rounded up."""
        return _seconds(self.parts, self.per_minute)


@dataclass(frozen=True, slots=True)
class BucketLevel:
    """What is missing at an instant, in parts of tokens."""

    missing: int
    at_us: int

    def refilled(self, limit: TokenLimit, now_us: int) -> "BucketLevel":
        """A clock that is behind another's brings nothing back, and takes nothing away."""
        at_us = max(self.at_us, now_us)
        return BucketLevel(max(self.missing - (at_us - self.at_us) * limit.per_minute, 0), at_us)

    def has_token(self, limit: TokenLimit) -> bool:
        return self.missing + TOKEN_PARTS <= limit.parts

    def less_a_token(self) -> "BucketLevel":
        return BucketLevel(self.missing + TOKEN_PARTS, self.at_us)

    def tokens(self, limit: TokenLimit) -> int:
        """How many whole ones are in it."""
        return max(limit.parts - self.missing, 0) // TOKEN_PARTS

    def seconds_to_next(self, limit: TokenLimit, now_us: int) -> int:
        """Until it holds one token more, rounded up: at least 1, but 0 of a full bucket."""
        wanted = limit.parts - (self.tokens(limit) + 1) * TOKEN_PARTS
        late_us = max(self.at_us - now_us, 0)
        lacking = self.missing - wanted if wanted >= 0 else 0
        return _seconds(lacking + late_us * limit.per_minute, limit.per_minute)


def full_bucket(now_us: int) -> BucketLevel:
    return BucketLevel(0, now_us)


def _seconds(parts: int, per_minute: int) -> int:
    return -(-parts // (per_minute * _SECOND_US))
