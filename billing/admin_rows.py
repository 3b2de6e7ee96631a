"""What of billing is read from files, and written to them."""

from typing import Any, Final

from import_export.fields import Field

from billing.core.periods import bucket_start
from billing.models import Invoice, Plan, Posting, Price, Subscription, TaxRate
from tenants.admin_import import Named, OnlyNew, TenantResource
from tenants.models import Customer


class TaxRateRows(TenantResource):
    """Known ones, by what they are for and from when, are changed; others added."""

    class Meta:
        model = TaxRate
        import_id_fields = ("country", "region", "product_class", "valid_from")
        fields = (
            "country", "region", "product_class", "valid_from", "valid_to", "name", "category",
            "percent",
        )  # fmt: skip
        export_order = fields
        skip_unchanged = True
        clean_model_instances = True


class SubscriptionRows(OnlyNew):
    """Who is billed by which plan from when on; known ones stay as they are."""

    customer = Field("customer", "customer", Named(Customer, "reference"))
    plan = Field("plan", "plan", Named(Plan, "name"))

    class Meta:
        model = Subscription
        import_id_fields = ("customer", "starts_at")
        fields = (
            "customer", "plan", "starts_at", "ends_at", "cycle", "interval", "proration",
            "currency", "trial_ends_at",
        )  # fmt: skip
        export_order = fields
        clean_model_instances = True

    def before_save_instance(self, instance: Any, row: Any, **options: Any) -> None:
        instance.starts_at = bucket_start(instance.starts_at)
        if instance.trial_ends_at is not None:
            instance.trial_ends_at = bucket_start(instance.trial_ends_at)


class PlanRows(OnlyNew):
    """Plans by name. Their prices are published in versions, after a backtest."""

    class Meta:
        model = Plan
        import_id_fields = ("name",)
        fields = ("name", "currency")
        export_order = fields
        clean_model_instances = True


PRICE_COLUMNS: Final = (
    "plan", "version", "effective_from", "position", "code", "label", "meter", "aggregation",
    "unit", "kind", "currency", "unit_price", "allowance", "rollover_periods", "tiers",
    "definition", "minimum", "maximum", "product_class", "interval_minutes", "percentile", "over",
    "distinct", "accepted_qualities",
)  # fmt: skip


class PriceRows(TenantResource):
    """What each version of each plan costs: for reading. A draft takes them from a page of its own
    (admin_price_files)."""

    plan = Field("plan_version__plan__name", "plan")
    version = Field("plan_version__number", "version")
    effective_from = Field("plan_version__effective_from", "effective_from")

    class Meta:
        model = Price
        fields = PRICE_COLUMNS
        export_order = fields

    def filter_export(self, queryset: Any, **options: Any) -> Any:
        prices = Price.objects.filter(plan_version__in=queryset.order_by())
        ordered = prices.select_related("plan_version__plan").order_by(
            "plan_version__plan__name", "plan_version__number", "position"
        )
        return super().filter_export(ordered, **options)


class InvoiceRows(TenantResource):
    """Invoices and notes with their amounts."""

    customer = Field("customer_reference", "customer")
    reference = Field("reference", "reference")
    gross = Field("gross", "gross")
    open_amount = Field("open_amount", "open_amount")

    class Meta:
        model = Invoice
        fields = (
            "reference", "kind", "status", "customer", "billed_to", "plan_label", "period_start",
            "period_end", "currency", "total", "tax_total", "gross", "credit_applied",
            "amount_paid", "amount_credited", "open_amount", "finalized_at", "due_at",
        )  # fmt: skip
        export_order = fields


class LedgerRows(TenantResource):
    """The journal, a row for each posting of the entries that the list shows."""

    occurred_at = Field("entry__occurred_at", "occurred_at")
    kind = Field("entry__kind", "kind")
    description = Field("entry__description", "description")
    customer = Field("customer__reference", "customer")

    class Meta:
        model = Posting
        fields = (
            "occurred_at", "kind", "description", "customer", "account", "currency", "amount",
        )  # fmt: skip
        export_order = fields

    def filter_export(self, queryset: Any, **options: Any) -> Any:
        postings = Posting.objects.filter(entry__in=queryset.order_by())
        ordered = postings.select_related("entry", "customer").order_by(
            "entry__occurred_at", "entry", "position"
        )
        return super().filter_export(ordered, **options)
