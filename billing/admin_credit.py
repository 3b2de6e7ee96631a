"""Credit grants and wallets in the admin."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminTextInputWidget

from billing.amounts import written_amount
from billing.core.currencies import UnknownCurrency, currency_of
from billing.core.exact import EXACT
from billing.core.money import AMOUNT_BELOW
from billing.models import CreditGrant, CreditMovement, TopUp, Wallet
from billing.operations import (
    CreditNotGrantable,
    GrantVoided,
    NewGrant,
    TopUpSettled,
    grant_credit,
    record_top_up_failed,
    record_top_up_paid,
    request_top_up,
    void_grant,
)
from billing.operations.credit import require_payable
from billing.queries.credit import with_balance, with_use
from tenants.admin_pages import (
    ReadOnlyInline,
    ScopedAdmin,
    ScopedForm,
    action,
    display,
    form_page,
)
from tenants.refusals import sentence


class AmountsForm(ScopedForm):
    """Amounts that can be paid in the form's currency."""

    amounts: tuple[str, ...] = ()

    def clean_currency(self) -> str:
        code = str(self.cleaned_data["currency"])
        try:
            currency_of(code)
        except UnknownCurrency as refusal:
            raise ValidationError(sentence(refusal)) from refusal
        return code

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        code = data.get("currency") or self.instance.currency
        for name in self.amounts:
            # The threshold of a wallet may be nothing at all.
            if code and data.get(name):
                self._require_payable(name, data[name], code)
        return data

    def _require_payable(self, name: str, amount: Decimal, code: str) -> None:
        try:
            require_payable(amount, currency_of(code))
        except CreditNotGrantable as refusal:
            self.add_error(name, sentence(refusal))


class GrantForm(AmountsForm):
    """Credit to grant."""

    amounts = ("amount",)

    class Meta:
        model = CreditGrant
        fields = (
            "customer",
            "kind",
            "currency",
            "amount",
            "priority",
            "price_codes",
            "expires_at",
            "note",
        )

    def clean_amount(self) -> Decimal:
        amount = Decimal(self.cleaned_data["amount"])
        if not 0 < amount < AMOUNT_BELOW:
            raise ValidationError("Grant more than nothing.")
        return amount

    def clean_expires_at(self) -> Any:
        expires_at = self.cleaned_data["expires_at"]
        if expires_at is not None and expires_at <= timezone.now():
            raise ValidationError("It would have expired already; choose a later moment or none.")
        return expires_at


class ReasonForm(forms.Form):
    """Why something is done that cannot be undone."""

    reason = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget)


class MovementInline(ReadOnlyInline):
    model = CreditMovement
    fields = ("occurred_at", "kind", "invoice", "note", "shown_amount")
    readonly_fields = fields
    verbose_name_plural = "what became of it"
    fk_name = "grant"

    @display(description="Amount")
    def shown_amount(self, movement: CreditMovement) -> str:
        return written_amount(movement.amount, movement.grant.currency)


@admin.register(CreditGrant)
class CreditGrantAdmin(ScopedAdmin):
    """A grant is made, and may be voided; nothing else of it changes."""

    form = GrantForm
    empty_hint = "Grant a customer credit, and it pays their next invoices until it is spent."
    list_display = ("customer", "kind", "shown_amount", "left", "priority", "expires_at", "state")
    list_filter = ("kind", "currency", ("voided_at", admin.EmptyFieldListFilter))
    list_select_related = ("customer",)
    search_fields = ("customer__name", "customer__reference", "note")
    inlines = (MovementInline,)
    actions_detail = ("void",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[CreditGrant]":
        return with_use(super().get_queryset(request))

    @display(description="Granted")
    def shown_amount(self, grant: CreditGrant) -> str:
        return written_amount(grant.amount, grant.currency)

    @display(description="Left")
    def left(self, grant: Any) -> str:
        return written_amount(EXACT.subtract(grant.amount, grant.used), grant.currency)

    @display(description="State")
    def state(self, grant: CreditGrant) -> str:
        if grant.voided_at is not None:
            return f"voided: {grant.void_reason}"
        expired = grant.expires_at is not None and grant.expires_at <= timezone.now()
        return "expired" if expired else "good"

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return () if obj is None else super().get_inlines(request, obj)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = tuple(GrantForm.Meta.fields)
        return fields if obj is None else (*fields, "left", "granted_at", "state")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else ("left", "granted_at", "state")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Without an object it is asked for the actions; a grant is for reading.
        return obj is None and bool(super().has_change_permission(request, obj))

    def has_void_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: CreditGrant, form: Any, change: bool) -> None:
        fields = {name: form.cleaned_data[name] for name in GrantForm.Meta.fields}
        fields["price_codes"] = tuple(fields["price_codes"] or ())
        made = grant_credit(NewGrant(**fields), as_of=timezone.now())
        for field in made._meta.concrete_fields:
            setattr(obj, field.attname, getattr(made, field.attname))
        obj._state.adding = False

    @action(description="Void", permissions=["void"], url_path="void")
    def void(self, request: HttpRequest, object_id: str) -> HttpResponse:
        grant = self.get_object(request, object_id)
        if grant is None:
            return HttpResponseRedirect(reverse("admin:billing_creditgrant_changelist"))
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if not form.is_valid():
            return form_page(
                self,
                request,
                form,
                title="Void this grant?",
                text="What is left of it is taken back for good. What it has paid stays paid.",
                objects=[f"{grant.customer}: {grant}"],
                submit="Void",
            )
        reason = form.cleaned_data["reason"]
        try:
            void_grant(grant, reason, as_of=timezone.now())
        except GrantVoided as refusal:
            messages.error(request, sentence(refusal))
        else:
            self.log_change(request, grant, f"Voided: {reason}")
            messages.success(request, "Nothing more is paid from this grant.")
        return HttpResponseRedirect(reverse("admin:billing_creditgrant_change", args=[grant.pk]))


class WalletForm(AmountsForm):
    """A wallet whose top-ups can be paid."""

    amounts = ("threshold", "top_up_amount")

    class Meta:
        model = Wallet
        fields = ("customer", "currency", "threshold", "top_up_amount", "enabled")


class TopUpInline(ReadOnlyInline):
    model = TopUp
    fields = ("requested_at", "shown_amount", "state", "settled_at", "reason")
    readonly_fields = fields
    verbose_name_plural = "top-ups, newest first"
    ordering = ("-requested_at",)

    @display(description="Amount")
    def shown_amount(self, top_up: TopUp) -> str:
        return written_amount(top_up.amount, top_up.wallet.currency)


@admin.register(Wallet)
class WalletAdmin(ScopedAdmin):
    form = WalletForm
    empty_hint = "A wallet holds what a customer pays ahead, and asks for more when little is left."
    list_display = ("customer", "currency", "balance", "shown_threshold", "enabled", "waits")
    list_filter = ("enabled", "currency")
    list_select_related = ("customer",)
    search_fields = ("customer__name", "customer__reference")
    inlines = (TopUpInline,)
    actions_detail = ("top_up_paid", "top_up_failed")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Wallet]":
        wallets: QuerySet[Wallet] = super().get_queryset(request)
        asked = TopUp.objects.filter(wallet=OuterRef("pk"), state=TopUp.State.REQUESTED)
        return with_balance(wallets).annotate(asked=Subquery(asked.values("amount")[:1]))

    @display(description="Balance")
    def balance(self, wallet: Any) -> str:
        return written_amount(wallet.balance, wallet.currency)

    @display(description="Topped up below")
    def shown_threshold(self, wallet: Wallet) -> str:
        return written_amount(wallet.threshold, wallet.currency)

    @display(description="Asks for")
    def waits(self, wallet: Any) -> str:
        return "" if wallet.asked is None else written_amount(wallet.asked, wallet.currency)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return () if obj is None else super().get_inlines(request, obj)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return WalletForm.Meta.fields if obj is None else ("balance", *WalletForm.Meta.fields)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else ("balance", "customer", "currency")

    def has_settle_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(self.has_change_permission(request))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Wallet, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        request_top_up(obj, as_of=timezone.now())

    @action(description="Top-up was paid", permissions=["settle"], url_path="top-up-paid")
    def top_up_paid(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._settle(
            request,
            object_id,
            forms.Form(request.POST if request.method == "POST" else None),
            lambda top_up, form: record_top_up_paid(top_up, as_of=timezone.now()),
            title="Was this top-up paid?",
            text="The amount is put into the wallet.",
        )

    @action(description="Top-up failed", permissions=["settle"], url_path="top-up-failed")
    def top_up_failed(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._settle(
            request,
            object_id,
            ReasonForm(request.POST if request.method == "POST" else None),
            lambda top_up, form: record_top_up_failed(
                top_up, form.cleaned_data["reason"], as_of=timezone.now()
            ),
            title="Did this top-up fail?",
            text="The wallet asks for no more until you enable it again.",
        )

    def _settle(
        self,
        request: HttpRequest,
        object_id: str,
        form: forms.Form,
        record: Callable[[TopUp, forms.Form], TopUp],
        **context: str,
    ) -> HttpResponse:
        wallet = self.get_object(request, object_id)
        if wallet is None:
            return HttpResponseRedirect(reverse("admin:billing_wallet_changelist"))
        back = HttpResponseRedirect(reverse("admin:billing_wallet_change", args=[wallet.pk]))
        asked = _open_request(wallet)
        if asked is None:
            messages.info(request, "The wallet asks for no top-up.")
            return back
        if not form.is_valid():
            named = f"{wallet.customer}: {written_amount(asked.amount, wallet.currency)}"
            return form_page(self, request, form, objects=[named], submit="Record", **context)
        try:
            settled = record(asked, form)
        except TopUpSettled as refusal:
            messages.error(request, sentence(refusal))
        else:
            self.log_change(request, wallet, f"Top-up {settled.state}.")
            messages.success(request, f"The top-up is recorded as {settled.state}.")
        return back


def _open_request(wallet: Wallet) -> TopUp | None:
    return wallet.top_ups.filter(state=TopUp.State.REQUESTED).first()
