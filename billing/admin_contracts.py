"""What is agreed with customers, in the admin: subscriptions, own prices, discounts, terms."""

from datetime import datetime
from typing import Any, cast

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Max, Q
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from billing.admin_rows import SubscriptionRows
from billing.amounts import written_amount
from billing.core.currencies import UnknownCurrency, currency_of
from billing.core.periods import bucket_start
from billing.models import (
    Discount,
    Invoice,
    PlanTerms,
    PriceOverride,
    Subscription,
)
from billing.operations import CommitmentTooShort
from billing.operations.agreements import require_override
from billing.operations.subscriptions import currency_for, require_commitment
from billing.overrides import OverrideNotUsable
from billing.queries import is_used
from billing.queries.charged import has_been_taken
from tenants.admin_import import ImportsAndExports
from tenants.admin_pages import ScopedAdmin, ScopedForm, display, name_with_badge
from tenants.models import Customer
from tenants.refusals import sentence


def checked_currency(form: ScopedForm) -> str:
    """What the form has as its currency, if it is one; it may be empty."""
    code = str(form.cleaned_data.get("currency") or "")
    if code:
        try:
            currency_of(code)
        except UnknownCurrency as refusal:
            raise ValidationError(str(refusal)) from refusal
    return code


class SubscriptionForm(ScopedForm):
    """A customer's plan; never two at a time, and never cut off inside what is invoiced."""

    class Meta:
        model = Subscription
        fields = (
            "customer",
            "plan",
            "cycle",
            "interval",
            "proration",
            "currency",
            "starts_at",
            "ends_at",
            "trial_ends_at",
            "commitment",
            "commitment_interval",
        )

    def clean_currency(self) -> str:
        return checked_currency(self)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        for name in ("starts_at", "ends_at", "trial_ends_at"):
            if data.get(name):
                data[name] = bucket_start(data[name])
        self._require_room(data)
        self._require_commitment(data)
        ends_at = data.get("ends_at")
        last = Invoice.objects.filter(subscription=self.instance.pk).aggregate(
            end=Max("period_end")
        )["end"]
        if ends_at and last and ends_at < last:
            self.add_error("ends_at", f"It is invoiced up to {timezone.localtime(last):%Y-%m-%d}.")
        return data

    def _require_room(self, data: dict[str, Any]) -> None:
        customer = data.get("customer") or getattr(self.instance, "customer", None)
        start = data.get("starts_at") or self.instance.starts_at
        if customer is None or start is None:
            return
        # Of two forms that are sent at once, one waits here and then sees the other's.
        Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
        others = Subscription.objects.filter(customer=customer).exclude(pk=self.instance.pk)
        if data.get("ends_at"):
            others = others.filter(starts_at__lt=data["ends_at"])
        if others.exclude(ends_at__lte=start).exists():
            raise ValidationError("The customer has another subscription at that time; end it.")

    def _require_commitment(self, data: dict[str, Any]) -> None:
        try:
            require_commitment(
                data.get("commitment"),
                data.get("commitment_interval", self.instance.commitment_interval),
                data.get("interval", self.instance.interval),
            )
        except CommitmentTooShort as refusal:
            self.add_error("commitment_interval", sentence(refusal))


@admin.register(Subscription)
class SubscriptionAdmin(ImportsAndExports, ScopedAdmin):
    resource_classes = (SubscriptionRows,)
    form = SubscriptionForm
    empty_hint = "Subscribe a customer to a plan; from its start on their usage is invoiced."
    list_display = ("customer_name", "plan", "interval", "cycle", "starts_at", "ends_at")
    list_filter = ("plan", "interval", "cycle")
    list_select_related = ("customer", "plan")
    search_fields = ("customer__name", "plan__name")

    @display(description="Customer", ordering="customer__name")
    def customer_name(self, subscription: Subscription) -> SafeString | str:
        return name_with_badge(subscription.customer.name, subscription.customer.generated)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        invoiced = obj is not None and Invoice.objects.filter(subscription=obj).exists()
        fixed = (
            "customer",
            "plan",
            "cycle",
            "interval",
            "proration",
            "currency",
            "starts_at",
            "trial_ends_at",
        )
        return fixed if invoiced else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Subscription, form: Any, change: bool) -> None:
        if not change and not obj.currency:
            currency = currency_for(obj.customer, obj.plan)
            obj.currency = "" if currency == obj.plan.currency else currency
        super().save_model(request, obj, form, change)


# All of a customer's own price but for its end.
_OWN_PRICE = ("customer", "code", "currency", "definition", "starts_at")


class OverrideForm(ScopedForm):
    """A customer's own price that a plan's price can become, outside what is finalized."""

    class Meta:
        model = PriceOverride
        fields = ("customer", "code", "currency", "definition", "starts_at", "ends_at", "reason")

    def clean_currency(self) -> str:
        return checked_currency(self)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        for name in ("starts_at", "ends_at"):
            if data.get(name):
                data[name] = bucket_start(data[name])
        if self.errors:
            return data
        what = ("code", "currency", "definition")
        try:
            # One from before this was asked can still be ended.
            if self.instance._state.adding or {*what} & {*self.changed_data}:
                require_override(*(self._said(data, name) for name in what))
        except OverrideNotUsable as refusal:
            self.add_error("definition", sentence(refusal))
        self._require_open(data)
        return data

    def _said(self, data: dict[str, Any], name: str) -> Any:
        return data[name] if name in data else getattr(self.instance, name)

    def _require_open(self, data: dict[str, Any]) -> None:
        """The database refuses a change of what is finalized; this says so at the form."""
        changed_from = self._changed_from(data)
        issued = Invoice.objects.filter(
            customer=self._said(data, "customer"), finalized_at__isnull=False
        )
        last = issued.aggregate(end=Max("period_end"))["end"]
        if changed_from is not None and last is not None and changed_from < last:
            raise ValidationError(
                f"The customer is invoiced up to {timezone.localtime(last):%Y-%m-%d %H:%M}; "
                "only what comes after that can change."
            )

    def _changed_from(self, data: dict[str, Any]) -> datetime | None:
        """When what the customer pays begins to differ from what was there before."""
        old, starts_at = self.instance, self._said(data, "starts_at")
        if old._state.adding:
            return cast(datetime, starts_at)
        if any(self._said(data, name) != getattr(old, name) for name in _OWN_PRICE):
            return cast(datetime, min(old.starts_at, starts_at))
        ends = {old.ends_at, data.get("ends_at")}
        moved = [end for end in ends if end is not None] if len(ends) > 1 else []
        return min(moved, default=None)


@admin.register(PriceOverride)
class PriceOverrideAdmin(ScopedAdmin):
    form = OverrideForm
    empty_hint = "A customer's own price stands in for the plan's price with the same code."
    list_display = ("customer", "code", "currency", "starts_at", "ends_at", "reason")
    list_filter = ("code",)
    list_select_related = ("customer",)
    search_fields = ("customer__name", "code", "reason")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return ()
        invoiced = Invoice.objects.filter(
            customer=obj.customer, finalized_at__isnull=False, period_end__gt=obj.starts_at
        )
        return _OWN_PRICE if invoiced.exists() else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class DiscountForm(ScopedForm):
    """A discount in a currency that is in use."""

    class Meta:
        model = Discount
        fields = (
            "name",
            "customer",
            "subscription",
            "plan",
            "percent",
            "amount",
            "currency",
            "price_codes",
            "position",
            "duration",
            "periods",
            "starts_at",
            "ends_at",
        )

    def clean_currency(self) -> str:
        return checked_currency(self)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not self.instance._state.adding and "ends_at" in data:
            self._require_open(self.instance, data["ends_at"])
        return data

    def _require_open(self, old: Discount, ends_at: datetime | None) -> None:
        """The database refuses a change of what is finalized; this says so at the form."""
        if old.ends_at == ends_at or not has_been_taken(old):
            return
        first, *second = sorted(end for end in (old.ends_at, ends_at) if end is not None)
        issued = Invoice.objects.filter(
            Q(customer=old.customer_id)
            | Q(subscription=old.subscription_id)
            | Q(subscription__plan=old.plan_id),
            kind=Invoice.Kind.INVOICE,
            finalized_at__isnull=False,
            period_start__gte=first,
        )
        if (issued.filter(period_start__lt=second[0]) if second else issued).exists():
            words = "Periods between the old end and the new one are invoiced and finalized."
            self.add_error("ends_at", words)


@admin.register(Discount)
class DiscountAdmin(ScopedAdmin):
    """A discount; once it stands on an invoice it can only be ended."""

    form = DiscountForm
    empty_hint = "A discount is of a customer, a subscription or everybody on a plan."
    list_display = ("name", "subject", "off", "duration", "starts_at", "ends_at")
    list_filter = ("duration", "plan")
    list_select_related = ("customer", "plan", "subscription__customer", "subscription__plan")
    search_fields = ("name", "customer__name")

    @display(description="Of")
    def subject(self, discount: Discount) -> str:
        return str(discount.customer or discount.subscription or discount.plan)

    @display(description="Off")
    def off(self, discount: Discount) -> str:
        if discount.amount is not None:
            return written_amount(discount.amount, discount.currency)
        return f"{discount.percent:f} %"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        used = obj is not None and has_been_taken(obj)
        return tuple(name for name in DiscountForm.Meta.fields if name != "ends_at") if used else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class PlanTermsForm(ScopedForm):
    """A version's terms in a currency that is in use."""

    class Meta:
        model = PlanTerms
        fields = ("plan_version", "currency", "minimum")

    def clean_currency(self) -> str:
        return checked_currency(self)


@admin.register(PlanTerms)
class PlanTermsAdmin(ScopedAdmin):
    """A version's minimum. Once an invoice has used the version, it is for reading."""

    form = PlanTermsForm
    empty_hint = "A plan version can ask a minimum for each period, in each of its currencies."
    list_display = ("plan_version", "shown_minimum")
    list_select_related = ("plan_version__plan",)
    list_filter = ("currency",)
    search_fields = ("plan_version__plan__name",)

    @display(description="Minimum a period")
    def shown_minimum(self, terms: PlanTerms) -> str:
        return written_amount(terms.minimum, terms.currency)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or not is_used(obj.plan_version))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
