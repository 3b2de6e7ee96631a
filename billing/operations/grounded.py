"""Rating on one ground: what a document is issued with, and what its proof is made of, are of one
moment. Nobody is held up for it: usage is rolled up, and hosts speak, as they like. Where they did
so while a document was rated, it is rated again."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from billing.models import Invoice
from billing.operations.drafting import UsageNotRolledUp, require_rolled_up
from billing.queries.ground import Ground, ground_of
from billing.queries.periods import period_of

_Rated = TypeVar("_Rated")
_TRIES_MAX: Final = 5


def rated_on_ground(
    documents: Callable[[], Sequence[Invoice]], rate: Callable[[Sequence[Invoice]], _Rated]
) -> tuple[_Rated, Ground]:
    """What `rate` makes of the documents, which may be others each time, and the ground that it
    stood on. The customer is locked. Raises UsageNotRolledUp, also where usage keeps coming while
    it is rated."""
    for _ in range(_TRIES_MAX):
        rated_together = documents()
        for each in rated_together:
            require_rolled_up(each.customer, period_of(each))
        ground = ground_of(rated_together)
        rated = rate(rated_together)
        if ground.has_held(ground_of(rated_together)):
            return rated, ground
    raise UsageNotRolledUp("usage of the period keeps coming in; try again in a few seconds")
