"""How a line's usage was measured, and what of it the price left unbilled."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal

from billing.core.quantity import plus, require_raw_quantity
from metering.core.quality import MEASURED_QUALITIES, Measured, in_order


class QualitiesNotUsable(ValueError):
    """A price accepts no quality, or one that nothing is measured in."""


def require_qualities(accepts: Collection[str]) -> None:
    """Raises QualitiesNotUsable."""
    if not accepts:
        raise QualitiesNotUsable("a price accepts at least one quality")
    unknown = set(accepts).difference(MEASURED_QUALITIES)
    if unknown:
        raise QualitiesNotUsable(f"no usage is measured as {min(unknown)[:40]!r}")


@dataclass(frozen=True, slots=True)
class Provenance:
    """`refused` of the meter's raw unit was measured in one of the qualities `refused_for`, which
    the price does not accept; it is in no billed quantity. `measured` is how all of it was."""

    refused: int | Decimal = 0
    refused_for: tuple[str, ...] = ()
    measured: tuple[Measured, ...] = ()

    def __post_init__(self) -> None:
        require_raw_quantity(self.refused)

    def to_json(self) -> list[tuple[str, str]]:
        """Each quality with its method."""
        return [(each.quality, each.method) for each in self.measured]


def together(parts: Sequence[Provenance]) -> Provenance:
    """That of several lines' usage of one price."""
    reasons = {quality for part in parts for quality in part.refused_for}
    return Provenance(
        refused=plus(*(part.refused for part in parts)),
        refused_for=tuple(quality for quality in MEASURED_QUALITIES if quality in reasons),
        measured=in_order(how for part in parts for how in part.measured),
    )
