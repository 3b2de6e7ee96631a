"""A row of columns as numbers for an SVG, in whole units of the drawing: pure, no floats."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

HEIGHT: Final = 96
STEP: Final = 40
WIDTH: Final = 26
# What is little is still seen.
_LEAST: Final = 2


@dataclass(frozen=True, slots=True)
class Column:
    """`label` stands below it, `text` says its value."""

    x: int
    y: int
    height: int
    label: str
    text: str

    @property
    def middle(self) -> int:
        return self.x + WIDTH // 2


def columns(values: Sequence[tuple[str, Decimal, str]]) -> list[Column]:
    """One for each (label, value, text); the largest value fills the height. A value below zero
    is drawn as nothing: its text says it."""
    largest = max((value for _, value, _ in values), default=Decimal(0))
    drawn = []
    for number, (label, value, text) in enumerate(values):
        height = int(value * HEIGHT / largest) if value > 0 else 0
        height = max(height, _LEAST) if value > 0 else 0
        drawn.append(Column(number * STEP + 7, HEIGHT - height, height, label, text))
    return drawn
