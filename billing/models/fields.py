"""What several of billing's models are made of."""

from django.core.validators import RegexValidator

CURRENCY = RegexValidator("^[A-Z]{3}$", "Use an ISO 4217 code such as EUR.")
CODE = RegexValidator("^[a-z0-9][a-z0-9._-]*$", "Use small letters, digits, dots and dashes.")

# Whatever the core can come to: billing.core.money.AMOUNT_BELOW has 50 digits.
AMOUNT_DIGITS = 54
AMOUNT_DECIMALS = 4
