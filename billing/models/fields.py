"""What several of billing's models are made of."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from billing.logo import LogoNotUsable, clean_logo

CURRENCY = RegexValidator("^[A-Z]{3}$", "Use an ISO 4217 code such as EUR.")
CODE = RegexValidator("^[a-z0-9][a-z0-9._-]*$", "Use small letters, digits, dots and dashes.")

# Whatever the core can come to: billing.core.money.AMOUNT_BELOW has 50 digits.
AMOUNT_DIGITS = 54
AMOUNT_DECIMALS = 4


class LogoField(models.TextField):  # type: ignore[type-arg]  # not generic when it runs
    """An SVG, stored with its shapes alone whichever way it comes. A form is told what is wrong
    with it; saving anything else raises LogoNotUsable."""

    def clean(self, value: Any, model_instance: models.Model | None) -> str:
        given = super().clean(value, model_instance)
        try:
            return clean_logo(given) if given else given
        except LogoNotUsable as refusal:
            words = str(refusal)
            raise ValidationError(f"{words[:1].upper()}{words[1:]}.") from refusal

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        safe = clean_logo(value) if isinstance(value, str) and value else value
        return super().get_db_prep_save(safe, connection)
