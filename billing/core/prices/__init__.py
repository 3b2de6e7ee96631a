"""The price models, one a module; docs/pricing.md has a worked example of each.

A metered model (PerUnit, Graduated, Volume, Package, Matrix) charges a Stretch of the period's
billable quantity. Flat charges a fee for the share of the period in use, Percentage a share of
other lines.
"""

from billing.core.prices.flat import Flat
from billing.core.prices.graduated import Graduated
from billing.core.prices.matrix import Matrix
from billing.core.prices.package import Package
from billing.core.prices.per_unit import PerUnit
from billing.core.prices.percentage import Percentage
from billing.core.prices.volume import Volume

# Over a part of the period's quantity they charge what the whole costs less what came before.
CumulativeModel = PerUnit | Graduated | Volume | Package
MeteredModel = CumulativeModel | Matrix
PriceModel = MeteredModel | Flat | Percentage

__all__ = [
    "CumulativeModel",
    "Flat",
    "Graduated",
    "Matrix",
    "MeteredModel",
    "Package",
    "PerUnit",
    "Percentage",
    "PriceModel",
    "Volume",
]
