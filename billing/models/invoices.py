"""Invoices with their lines, taxes and numbers."""

from decimal import Decimal
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.fields.json import KeyTextTransform
from django.utils import timezone

from billing.core.provenance import Provenance
from billing.models.fields import AMOUNT_DECIMALS, AMOUNT_DIGITS
from billing.models.plans import PlanVersion, Price
from billing.models.subscriptions import Subscription
from metering.core.quality import Measured
from metering.models import Application
from tenants.models import Customer, Tenant, TenantOwned
from tenants.scope import current_tenant_id


class Invoice(TenantOwned):
    """What one customer owes for one billing period, [period_start, period_end).

    It says whom it was made for, by whom and on which plan in the words of its day: they are
    called something else one day, and the invoice is not. core/lifecycle.py says which status
    follows which; triggers hold it, and keep all else of an issued invoice as it is.

    A debit note's amounts are owed beside those of the invoice that it refers to. A credit note's
    are positive as well, and are taken off: a negative line of it takes off less.
    """

    class Status(models.TextChoices):
        DRAFT = "draft"
        IN_REVIEW = "in_review", "In review"
        FINALIZED = "finalized"
        SENT = "sent"
        PARTLY_PAID = "partly_paid", "Partly paid"
        PAID = "paid"
        OVERDUE = "overdue"
        VOID = "void"
        UNCOLLECTIBLE = "uncollectible"

    class Kind(models.TextChoices):
        INVOICE = "invoice"
        CREDIT_NOTE = "credit_note", "Credit note"
        DEBIT_NOTE = "debit_note", "Debit note"

    kind = models.CharField(max_length=12, choices=Kind.choices, default=Kind.INVOICE)
    refers_to = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        db_constraint=False,
        related_name="notes",
        help_text="The invoice that a note corrects.",
    )
    reason = models.CharField(max_length=500, blank=True, help_text="Why a note was made.")

    customer = models.ForeignKey(
        Customer, on_delete=models.PROTECT, db_constraint=False, related_name="invoices"
    )
    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, db_constraint=False)
    plan_version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, db_constraint=False)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    billed_to = models.CharField(max_length=120)
    customer_reference = models.CharField(max_length=60)
    time_zone = models.CharField(max_length=64)
    seller = models.CharField(max_length=120)
    plan_label = models.CharField(max_length=140)
    currency = models.CharField(max_length=3)
    total = models.DecimalField(
        max_digits=AMOUNT_DIGITS, decimal_places=AMOUNT_DECIMALS, help_text="What the lines sum to."
    )
    tax_inclusive = models.BooleanField(default=False, help_text="Whether the lines include tax.")
    tax_total = models.DecimalField(
        max_digits=AMOUNT_DIGITS, decimal_places=AMOUNT_DECIMALS, default=0
    )
    credit_applied = models.DecimalField(
        max_digits=AMOUNT_DIGITS,
        decimal_places=AMOUNT_DECIMALS,
        default=0,
        help_text="What was paid from the customer's credit on finalizing.",
    )
    amount_paid = models.DecimalField(
        max_digits=AMOUNT_DIGITS, decimal_places=AMOUNT_DECIMALS, default=0
    )
    amount_credited = models.DecimalField(
        max_digits=AMOUNT_DIGITS,
        decimal_places=AMOUNT_DECIMALS,
        default=0,
        help_text="What credit notes took off what was open; of a credit note, how much of it did. "
        "The rest of a credit note is the customer's credit.",
    )
    seller_details = models.JSONField(default=dict, help_text="The seller as a document shows it.")
    buyer_details = models.JSONField(default=dict, help_text="The buyer as a document shows it.")
    review_until = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    series = models.CharField(max_length=20, blank=True)
    status = models.CharField(max_length=14, choices=Status.choices, default=Status.DRAFT)
    number = models.PositiveIntegerField(
        null=True, help_text="Given on finalizing, per tenant and series, without gaps."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finalized_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-period_start", "customer"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "subscription", "period_start"],
                condition=Q(kind="invoice"),
                name="invoice_once_a_period",
            ),
            models.UniqueConstraint(fields=["tenant", "series", "number"], name="invoice_number"),
            models.CheckConstraint(
                condition=Q(
                    status__in=["draft", "in_review"],
                    number__isnull=True,
                    finalized_at__isnull=True,
                )
                | (
                    ~Q(status__in=["draft", "in_review"])
                    & Q(number__isnull=False, finalized_at__isnull=False)
                ),
                name="invoice_numbered_when_finalized",
            ),
            models.CheckConstraint(
                condition=Q(kind="invoice", refers_to__isnull=True)
                | (~Q(kind="invoice") & Q(refers_to__isnull=False)),
                name="invoice_note_refers",
            ),
            models.CheckConstraint(
                condition=Q(amount_paid__gte=0, credit_applied__gte=0, amount_credited__gte=0),
                name="invoice_settled_by_positive_amounts",
            ),
        ]
        indexes: ClassVar = [
            # Every roll-up asks whether it changes a period that has an invoice.
            models.Index(fields=["tenant", "period_end"], name="invoice_period_end"),
            models.Index(fields=["tenant", "refers_to"], name="invoice_refers_to"),
        ]

    def __str__(self) -> str:
        kind = self.kind_in_words
        return f"{kind.capitalize()} {self.reference}" if self.number else f"Draft {kind}"

    @property
    def issued_as(self) -> str:
        """What the customer is sent: for a period that comes to less than nothing a credit note."""
        in_favour = self.kind == self.Kind.INVOICE and self.gross < 0
        return self.Kind.CREDIT_NOTE if in_favour else self.kind

    @property
    def kind_in_words(self) -> str:
        """What it is issued as: "invoice", "credit note" or "debit note"."""
        return str(self.Kind(self.issued_as).label).lower()

    @property
    def is_issued(self) -> bool:
        """Whether it has its number, and is never rewritten."""
        return self.finalized_at is not None

    @property
    def reference(self) -> str:
        """Its number as people write it; empty before it has one."""
        return "" if self.number is None else f"{self.series}{self.number}"

    @property
    def gross(self) -> Decimal:
        """What the lines come to with tax."""
        return self.total if self.tax_inclusive else self.total + self.tax_total

    @property
    def payable(self) -> Decimal:
        """What is left to pay after the customer's credit, before any payment."""
        return self.gross - self.credit_applied

    @property
    def open_amount(self) -> Decimal:
        """What is still to be paid; of a credit note nothing is."""
        if self.kind == self.Kind.CREDIT_NOTE or self.status == self.Status.VOID:
            return Decimal(0)
        return max(self.payable - self.amount_paid - self.amount_credited, Decimal(0))


class InvoiceLine(TenantOwned):
    """One price applied to one application's usage, or another charge of the invoice, with the
    steps that lead to its amount."""

    class Kind(models.TextChoices):
        USAGE = "usage"
        RECURRING = "recurring"
        PERCENTAGE = "percentage"
        MINIMUM = "minimum"
        TRUE_UP = "true_up", "true-up of a commitment"
        DISCOUNT = "discount"
        LATE_USAGE = "late_usage", "late usage"
        CORRECTION = "correction"

    # There are many: what the keys with the tenant hold and find is neither held nor found twice.
    tenant = models.ForeignKey(
        Tenant,
        on_delete=models.PROTECT,
        editable=False,
        default=current_tenant_id,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    kind = models.CharField(max_length=12, choices=Kind.choices, default=Kind.USAGE)
    invoice = models.ForeignKey(
        Invoice,
        on_delete=models.CASCADE,
        db_constraint=False,
        db_index=False,
        related_name="lines",
    )
    position = models.PositiveIntegerField()
    price = models.ForeignKey(Price, on_delete=models.PROTECT, null=True, db_constraint=False)
    application = models.ForeignKey(
        Application, on_delete=models.PROTECT, null=True, db_constraint=False
    )
    application_name = models.CharField(max_length=200, blank=True)
    environment_name = models.CharField(max_length=200, blank=True)
    label = models.CharField(max_length=120)
    meter = models.CharField(max_length=64, blank=True)
    unit = models.CharField(max_length=20, blank=True)
    attributes = models.JSONField(
        default=dict, help_text="What a matrix price tells apart: role, region, host class …"
    )
    facts = models.JSONField(
        default=dict, help_text="What else a reader is shown: coverage, gaps, overlap, windows."
    )
    tax_category = models.CharField(
        max_length=2, blank=True, help_text="UNCL 5305: S, Z, E, AE, K, G, O."
    )
    tax_percent = models.DecimalField(max_digits=7, decimal_places=4, null=True)
    raw_quantity = models.DecimalField(
        max_digits=44,
        decimal_places=4,
        help_text="In the meter's small unit, exact; not whole where a role counts by a factor.",
    )
    quantity = models.DecimalField(
        max_digits=80, decimal_places=30, help_text="In the price's unit, for reading."
    )
    unrounded = models.DecimalField(max_digits=80, decimal_places=30)
    amount = models.DecimalField(max_digits=AMOUNT_DIGITS, decimal_places=AMOUNT_DECIMALS)
    steps = models.JSONField()
    refused_quantity = models.DecimalField(
        max_digits=44,
        decimal_places=4,
        default=0,
        help_text="Not billed: measured in a quality that the price does not accept. In the "
        "meter's small unit, exact.",
    )
    refused_for = models.JSONField(default=list, help_text="Those qualities.")
    measured = models.JSONField(
        default=list, help_text="How the usage was measured: [[quality, method], …]."
    )

    class Meta:
        ordering = ["invoice", "position"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "invoice", "position"], name="invoice_line_position"
            ),
        ]
        indexes: ClassVar = [
            # On which invoices a discount stands is asked by those who would change it.
            models.Index(
                "tenant",
                KeyTextTransform("discount", "facts"),
                condition=Q(kind__in=["discount", "late_usage"]),
                name="invoice_line_of_discount",
            ),
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def provenance(self) -> Provenance:
        """How its usage was measured, and what of it is not billed."""
        return Provenance(
            self.refused_quantity,
            tuple(self.refused_for),
            tuple(Measured(quality, method) for quality, method in self.measured),
        )


class InvoiceTax(TenantOwned):
    """The tax of one rate group of an invoice; the groups' taxes sum to its tax_total."""

    invoice = models.ForeignKey(
        Invoice, on_delete=models.CASCADE, db_constraint=False, related_name="taxes"
    )
    category = models.CharField(max_length=2, help_text="UNCL 5305: S, Z, E, AE, K, G, O.")
    percent = models.DecimalField(max_digits=7, decimal_places=4)
    taxable = models.DecimalField(
        max_digits=AMOUNT_DIGITS, decimal_places=AMOUNT_DECIMALS, help_text="Without the tax."
    )
    tax = models.DecimalField(max_digits=AMOUNT_DIGITS, decimal_places=AMOUNT_DECIMALS)
    reason = models.CharField(
        max_length=200, blank=True, help_text="Why no tax is charged: reverse charge …"
    )

    class Meta:
        ordering = ["invoice", "category", "-percent"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "invoice", "category", "percent"], name="invoice_tax_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.category} {self.percent}%"


class InvoiceNumbering(TenantOwned):
    """The last number a tenant gave out in a series; locked while the next one is given."""

    series = models.CharField(max_length=20, blank=True)
    last_number = models.PositiveIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "series"], name="invoice_numbering_once"),
        ]

    def __str__(self) -> str:
        return str(self.last_number)
