"""Which taxes a tenant's sales bear."""

from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q

from tenants.models import TenantOwned

_COUNTRY = RegexValidator("^[A-Z]{2}$", "Use an ISO 3166 code such as DE.")


class TaxRate(TenantOwned):
    """One rate of the tenant's table; core/tax.py says which of them a line bears."""

    class Category(models.TextChoices):
        STANDARD = "S", "S: standard or reduced rate"
        ZERO = "Z", "Z: zero rated"
        EXEMPT = "E", "E: exempt"
        REVERSE_CHARGE = "AE", "AE: reverse charge"
        INTRA_COMMUNITY = "K", "K: intra-community supply"
        EXPORT = "G", "G: export, untaxed"
        OUTSIDE = "O", "O: outside the scope of tax"

    name = models.CharField(max_length=80, help_text="As an invoice calls it: VAT 19%.")
    country = models.CharField(max_length=2, validators=[_COUNTRY], help_text="Of the buyer: DE.")
    region = models.CharField(
        max_length=10,
        blank=True,
        help_text="ISO 3166-2 without the country: BY, CA. Empty: all of the country.",
    )
    product_class = models.CharField(
        max_length=40, blank=True, help_text="As prices name it. Empty: all of them."
    )
    category = models.CharField(
        max_length=2, choices=Category.choices, default=Category.STANDARD, help_text="UNCL 5305."
    )
    percent = models.DecimalField(
        max_digits=7,
        decimal_places=4,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
    )
    valid_from = models.DateField()
    valid_to = models.DateField(
        null=True, blank=True, help_text="The first day on which it no longer applies."
    )

    class Meta:
        ordering = ["country", "region", "product_class", "-valid_from"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "country", "region", "product_class", "valid_from"],
                name="tax_rate_once",
                violation_error_message="Another rate for this begins on the same day.",
            ),
            models.CheckConstraint(
                condition=Q(percent__gte=0, percent__lte=100), name="tax_rate_percent"
            ),
            models.CheckConstraint(
                condition=Q(category="S") | Q(percent=0),
                name="tax_rate_untaxed_is_zero",
                violation_error_message="Only category S has a percentage.",
            ),
            models.CheckConstraint(
                condition=Q(valid_to__isnull=True) | Q(valid_to__gt=F("valid_from")),
                name="tax_rate_ends_after_start",
                violation_error_message="A rate ends after its first day.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.country})"
