"""How large and how fine the numbers of a price may be."""

from decimal import Decimal
from typing import Final

from billing.core.exact import require_decimal

PRICE_DECIMALS_MAX: Final = 12
PRICE_BELOW: Final = Decimal(10) ** 12
BOUND_DECIMALS_MAX: Final = 12
BOUND_BELOW: Final = Decimal(10) ** 18


def require_price(price: Decimal, name: str) -> None:
    """Refuse a price that is negative, inexact or has more than 12 decimals."""
    require_decimal(price, name, decimals_max=PRICE_DECIMALS_MAX, below=PRICE_BELOW)


def require_quantity_in_unit(quantity: Decimal, name: str) -> None:
    """Refuse a bound or allowance that is negative, inexact or has more than 12 decimals."""
    require_decimal(quantity, name, decimals_max=BOUND_DECIMALS_MAX, below=BOUND_BELOW)
