"""Who bills and who is billed, as they stand on documents."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, RegexValidator
from django.db import models

from billing.models.fields import CURRENCY, LogoField
from tenants.models import Customer, TenantOwned

RECIPIENTS_MAX = 10
_COUNTRY = RegexValidator("^[A-Z]{2}$", "Use an ISO 3166 code such as DE.")
_PEPPOL_ID = RegexValidator(
    r"^[0-9]{4}:\S+\Z", "Write the scheme and the identifier: 0184:12345678."
)
_COLOUR = RegexValidator("^#[0-9a-fA-F]{6}$", "Use six hexadecimal digits, such as #1f6feb.")


class Party(TenantOwned):
    """A name and address as a document shows them."""

    legal_name = models.CharField(max_length=200, blank=True)
    street = models.CharField(max_length=200, blank=True)
    postcode = models.CharField(max_length=20, blank=True)
    city = models.CharField(max_length=100, blank=True)
    region = models.CharField(
        max_length=10, blank=True, help_text="ISO 3166-2 without the country: BY, CA."
    )
    country = models.CharField(
        max_length=2, blank=True, validators=[_COUNTRY], help_text="ISO 3166: DE, US."
    )
    vat_id = models.CharField("VAT id", max_length=20, blank=True)
    email = models.EmailField(blank=True)
    peppol_id = models.CharField(
        "Peppol id",
        max_length=60,
        blank=True,
        validators=[_PEPPOL_ID],
        help_text="Where electronic invoices reach it, as scheme:identifier. Left empty, it is "
        "made of the VAT id.",
    )
    language = models.CharField(max_length=8, default="en")

    class Meta:
        abstract = True


class BillingSettings(Party):
    """How a tenant bills, and what its documents say of it. One row a tenant."""

    class LateUsage(models.TextChoices):
        NOTE = "note", "a credit or debit note"
        NEXT_INVOICE = "next_invoice", "a line on the next invoice"

    class TaxCalculator(models.TextChoices):
        TABLE = "table", "the table of tax rates"

    tax_number = models.CharField(max_length=40, blank=True)
    registration = models.CharField(
        max_length=120, blank=True, help_text="Commercial register and number."
    )
    phone = models.CharField(max_length=40, blank=True)
    iban = models.CharField("IBAN", max_length=34, blank=True)
    bic = models.CharField("BIC", max_length=11, blank=True)
    logo_svg = LogoField("logo, as SVG", blank=True, max_length=200_000)
    colour = models.CharField(max_length=7, default="#1f6feb", validators=[_COLOUR])
    invoice_series = models.CharField(
        max_length=20, blank=True, help_text="Stands before an invoice's number: INV-."
    )
    credit_note_series = models.CharField(max_length=20, default="CN-")
    debit_note_series = models.CharField(max_length=20, default="DN-")
    review_days = models.PositiveSmallIntegerField(
        default=0,
        validators=[MaxValueValidator(60)],
        help_text="Days that a draft is in review before it is finalized, for late usage and for "
        "looking it over.",
    )
    payment_term_days = models.PositiveSmallIntegerField(
        default=14, validators=[MaxValueValidator(180)]
    )
    customers_may_stop_applications = models.BooleanField(
        default=False,
        help_text="A customer's budget may ask you to stop an application at its limit. You are "
        "asked in the admin and do it; nothing is stopped by itself.",
    )
    collects_automatically = models.BooleanField(
        default=True,
        help_text="Issued invoices are collected at once where the customer has saved a payment "
        "method.",
    )
    mails_documents = models.BooleanField(
        "send documents by e-mail",
        default=True,
        help_text="Invoices and notes are sent when they are issued, and receipts when they are "
        "paid.",
    )
    late_usage = models.CharField(max_length=12, choices=LateUsage.choices, default=LateUsage.NOTE)
    late_usage_days = models.PositiveSmallIntegerField(
        default=60,
        validators=[MaxValueValidator(400)],
        help_text="Usage that arrives later than this after its period's end is listed as refused. "
        "It is billed once you accept it, or when another change has its period rated again.",
    )
    prices_include_tax = models.BooleanField(default=False)
    tax_calculator = models.CharField(
        max_length=20,
        choices=TaxCalculator.choices,
        default=TaxCalculator.TABLE,
        help_text="Who decides which tax a line bears.",
    )

    class Meta:
        verbose_name_plural = "billing settings"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant"], name="billing_settings_once"),
        ]

    def __str__(self) -> str:
        return self.legal_name or "Billing settings"


class Logo(TenantOwned):
    """A logo as issued documents show it, by what it is: one row for all of them. Rows are only
    added; a trigger refuses to change or delete one."""

    digest = models.CharField(max_length=64, help_text="SHA-256 of the SVG, in hexadecimal.")
    svg = models.TextField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "digest"], name="logo_once"),
        ]

    def __str__(self) -> str:
        return self.digest


class BillingDetails(Party):
    """How a customer is billed. One row a customer; without one the customer's name is all that
    is known."""

    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, db_constraint=False, related_name="+"
    )
    currency = models.CharField(
        max_length=3,
        blank=True,
        validators=[CURRENCY],
        help_text="What the customer is billed in; left empty, the plan's own currency.",
    )
    purchase_order = models.CharField(max_length=60, blank=True)
    buyer_reference = models.CharField(
        max_length=100, blank=True, help_text="What public buyers are addressed by: a Leitweg-ID."
    )

    recipients = ArrayField(
        models.EmailField(),
        default=list,
        blank=True,
        size=RECIPIENTS_MAX,
        help_text="Who else is sent invoices, apart from the e-mail above; separated by commas.",
    )
    vat_checked_id = models.CharField(max_length=20, blank=True, editable=False)
    vat_checked_at = models.DateTimeField(null=True, editable=False)
    vat_confirmed = models.BooleanField(
        null=True,
        editable=False,
        help_text="Whether VIES knows the checked id; nothing while it could not be asked.",
    )

    class Meta:
        verbose_name_plural = "billing details"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "customer"], name="billing_details_once_a_customer"
            ),
        ]

    def __str__(self) -> str:
        return f"Billing details of {self.customer}"

    @property
    def vat_check(self) -> str:
        """What is known of the VAT id as it is now: "confirmed", "unknown", "unchecked", or nothing
        without one."""
        if not self.vat_id:
            return ""
        if self.vat_checked_id != self.vat_id or self.vat_confirmed is None:
            return "unchecked"
        return "confirmed" if self.vat_confirmed else "unknown"
