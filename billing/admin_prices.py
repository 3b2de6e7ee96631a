"""Prices in the admin: forms that make one that can be rated, or say why it cannot."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.forms import BaseInlineFormSet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from hostmeter_agent.wire import METERS
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelect2Widget,
    UnfoldAdminTextInputWidget,
)

from billing.core.exact import InexactNumber, NumberOutOfBounds, plain
from billing.core.prices.tiers import TiersNotUsable
from billing.core.quantity import (
    UNIT_NAMES,
    UNITS,
    AggregationDoesNotFit,
    UnitDoesNotFit,
    UnknownUnit,
    aggregation_of,
)
from billing.core.readings import ReadingNotUsable
from billing.models import PlanVersion, Price, accepted_by_default
from billing.operations.late_fees import LATE_FEE
from billing.operations.plans import code_from
from billing.prices import (
    DefinitionNotReadable,
    TierNotReadable,
    UnitPriceMissing,
    price_spec,
)
from metering.core.posting import ALLOCATED_METERS
from tenants.admin_pages import EditableInline, ScopedForm

if TYPE_CHECKING:
    _InlineFormSet = BaseInlineFormSet[Price, PlanVersion, forms.ModelForm[Price]]
else:
    _InlineFormSet = BaseInlineFormSet


def _unit_in_words(name: str) -> str:
    return f"{name} ({UNITS[name].raw_unit})" if name in UNITS else name


def _number_input() -> UnfoldAdminTextInputWidget:
    # A browser's number field sends nothing at all in place of what is no number.
    return UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"})


_NUMBERS = ("unit_price", "allowance", "minimum", "maximum", "percentile")
_FIELDS: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((UnitDoesNotFit, UnknownUnit), "unit"),
    ((AggregationDoesNotFit, ReadingNotUsable), "aggregation"),
    ((TierNotReadable, TiersNotUsable), "tiers"),
    ((DefinitionNotReadable,), "definition"),
    ((UnitPriceMissing, NumberOutOfBounds, InexactNumber), "unit_price"),
)


_KNOWN_METERS = (
    *((meter.name, "") for meter in METERS),
    *((meter, "spread of a host's") for meter in ALLOCATED_METERS),
    (LATE_FEE, "dunning"),
)


class MeterInput(UnfoldAdminTextInputWidget):  # type: ignore[misc]
    """Offers the meters that are known; any other is one of events."""

    def render(
        self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None
    ) -> SafeString:
        field: SafeString = super().render(
            name, value, {**(attrs or {}), "list": "known-meters"}, renderer
        )
        # Once on the page: with the row that all others are made from.
        if "__prefix__" not in name:
            return field
        options = format_html_join("", '<option value="{}">{}</option>', _KNOWN_METERS)
        return format_html('{}<datalist id="known-meters">{}</datalist>', field, options)


class PriceForm(ScopedForm):
    """A price that can be rated, or the reason why it cannot."""

    meter = forms.RegexField(
        r"^[a-z0-9._]+$",
        max_length=64,
        widget=MeterInput,
        required=False,
        help_text="One that is offered, or one that your events name. A flat fee and a percentage "
        "count none.",
        error_messages={"invalid": "A meter's name has small letters, digits, dots and _."},
    )
    unit = forms.ChoiceField(
        choices=[
            ("", "none"),
            *((name, _unit_in_words(name)) for name in UNIT_NAMES),
        ],
        widget=UnfoldAdminSelect2Widget,
        required=False,
        help_text="GB is 10⁹ bytes, GiB is 2³⁰. kbit/s, Mbit/s and Gbit/s are for percentiles.",
    )
    accepted_qualities = forms.MultipleChoiceField(
        choices=Price.Quality.choices,
        initial=accepted_by_default,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="Usage measured in another way is shown on the invoice and not billed: a lower "
        "bound counts less than there was, an estimate may count more. Usage of agents that do "
        "not say how they measured is always billed.",
        error_messages={"required": "A price that accepts no quality would bill nothing."},
    )

    class Meta:
        model = Price
        fields = (
            "label",
            "code",
            "meter",
            "unit",
            "aggregation",
            "interval_minutes",
            "percentile",
            "over",
            "distinct",
            "kind",
            "unit_price",
            "tiers",
            "definition",
            "allowance",
            "rollover_periods",
            "minimum",
            "maximum",
            "currency",
            "product_class",
            "accepted_qualities",
        )
        widgets: ClassVar = {name: _number_input() for name in _NUMBERS}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name in _NUMBERS:
            stored = getattr(self.instance, name)
            if isinstance(stored, Decimal):
                self.initial[name] = plain(stored)
        for name in ("tiers", "definition"):
            if name in self.fields:
                self.fields[name].widget.attrs["rows"] = 3

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        self._require_only_its_kind(data)
        if self.errors:
            return data
        if data["meter"] and not data["aggregation"]:
            data["aggregation"] = aggregation_of(data["meter"])
        if not data["code"]:
            data["code"] = code_from(data["label"], ())
        price = Price(**{name: data[name] for name in self._meta.fields or ()})
        try:
            # How roles and gaps count is the version's to say, and does not decide whether a price
            # can be rated.
            price_spec(price, PlanVersion())
        except (ValueError, InexactNumber) as refusal:
            self.add_error(_field_of(refusal), str(refusal))
        return data

    def _require_only_its_kind(self, data: dict[str, Any]) -> None:
        kind = data.get("kind")
        if kind not in Price.WITH_UNIT_PRICE and data.get("unit_price") is not None:
            where = "tiers" if kind in Price.TIERED else "definition"
            self.add_error(
                "unit_price",
                f"A price of this kind has its prices in the {where}; leave this empty.",
            )
        if kind not in Price.TIERED and data.get("tiers"):
            self.add_error("tiers", "A price of this kind has no tiers; leave this empty.")
        if kind in Price.UNMETERED:
            for name in ("meter", "unit", "aggregation"):
                if data.get(name):
                    self.add_error(name, "A price of this kind counts no meter; leave this empty.")
        else:
            for name in ("meter", "unit"):
                if not data.get(name) and name not in self.errors:
                    self.add_error(name, "A price for usage says what it counts.")


def _field_of(refusal: Exception) -> str | None:
    """The field that a refusal is about; none where fields do not go together."""
    for refusals, name in _FIELDS:
        if isinstance(refusal, refusals):
            return name
    return None


class PriceFormSet(_InlineFormSet):
    """A version's prices: at least one."""

    default_error_messages: ClassVar = {
        **_InlineFormSet.default_error_messages,
        "too_few_forms": "A version without prices would bill nothing; keep at least one.",
    }


class PriceInline(EditableInline):
    model = Price
    form = PriceForm
    formset = PriceFormSet
    extra = 0
    min_num = 1
    fields = (
        ("position", "label", "code"),
        ("meter", "unit", "aggregation"),
        ("kind", "unit_price", "allowance", "rollover_periods"),
        "tiers",
        "definition",
        ("minimum", "maximum"),
        ("interval_minutes", "percentile", "over", "distinct"),
        ("currency", "product_class"),
        "accepted_qualities",
    )

    def get_formset(self, request: HttpRequest, obj: Any = None, **options: Any) -> Any:
        return super().get_formset(request, obj, **{"validate_min": True, **options})
