"""The pure billing core: no Django, no clock, no I/O; the standard library and the meter table.

What the rest of billing calls:

- `charges.rate_usage(prices, usage, currency)`: a period's usage to a RatedInvoice, whose lines
  sum to its total and explain themselves (`rating.PriceSpec`, `UsageQuantity`, `RatedLine`).
- `periods.BillingCycle`, `billing_period_containing`, `billing_periods`: which period it is.
- `pricing.PerUnit`, `Graduated`, `Tier`: the price models.
- `quantity.units_for(meter)`, `aggregation_of(meter)`: what a price on a meter can look like.
- `money.round_amount`, `round_lines`: the one rounding rule.

docs/pricing.md defines each with an example.
"""
