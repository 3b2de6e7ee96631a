"""Volume: all units cost the price of the one tier that holds the whole quantity."""

from dataclasses import dataclass
from decimal import Decimal

from billing.core.exact import EXACT, ZERO
from billing.core.prices.stretch import Stretch, TierSlice, charged_between
from billing.core.prices.tiers import Tier, require_tiers


@dataclass(frozen=True, slots=True)
class Volume:
    """The tier that holds the period's whole quantity prices all of it, plus its fee once.

    Each line has its own quantity at that price; the fee is on the first line that has any. More
    usage can cost less, where it reaches a cheaper tier. Raises TiersNotUsable.
    """

    tiers: tuple[Tier, ...]

    def __post_init__(self) -> None:
        require_tiers(self.tiers)

    def charge(self, part: Stretch) -> tuple[TierSlice, ...]:
        if part.start == part.end:
            return ()
        number, above = self._tier_of(part.whole, part.raw_per_unit)
        tier = self.tiers[number - 1]
        is_first = part.start == part.billed
        return (
            TierSlice(
                kind="volume",
                number=number,
                above=above,
                up_to=tier.up_to,
                unit_price=tier.unit_price,
                raw_from=part.start,
                raw_to=part.end,
                usage_amount=part.charged(tier.unit_price),
                flat_fee=tier.flat_fee if is_first and not part.billed else ZERO,
                repriced=self._repriced(tier, part) if is_first and part.billed else ZERO,
            ),
        )

    def _repriced(self, tier: Tier, part: Stretch) -> Decimal:
        """What the earlier invoices' quantity costs now, less what it was billed at; with fees."""
        number, _ = self._tier_of(part.billed, part.raw_per_unit)
        was = self.tiers[number - 1]
        now_costs = charged_between(ZERO, part.billed, tier.unit_price, part.raw_per_unit)
        did_cost = charged_between(ZERO, part.billed, was.unit_price, part.raw_per_unit)
        return EXACT.add(
            EXACT.subtract(now_costs, did_cost), EXACT.subtract(tier.flat_fee, was.flat_fee)
        )

    def _tier_of(self, quantity: Decimal, raw_per_unit: int) -> tuple[int, Decimal]:
        """The number of the tier that holds the raw quantity, and the bound below it."""
        above = ZERO
        for number, tier in enumerate(self.tiers, start=1):
            if tier.up_to is None or quantity <= EXACT.multiply(tier.up_to, Decimal(raw_per_unit)):
                return number, above
            above = tier.up_to
        raise AssertionError("the last tier has no bound")
