"""What all pages of the operators' admin share. The tenant's scope comes from TenantMiddleware, so
every query, choice and object here is the tenant's own."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from django import forms
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import BaseModelAdmin
from django.db.models import Field, Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from tenants.models import User

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))


if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[Any]
    _ModelAdmin = admin.ModelAdmin[Any]
    _StackedInline = admin.StackedInline[Any, Any]
    _TabularInline = admin.TabularInline[Any, Any]
    _Method = TypeVar("_Method", bound=Callable[..., Any])

    def action(**options: Any) -> Callable[[_Method], _Method]: ...
    def display(**options: Any) -> Callable[[_Method], _Method]: ...

else:
    from unfold.admin import ModelAdmin as _ModelAdmin
    from unfold.admin import StackedInline as _StackedInline
    from unfold.admin import TabularInline as _TabularInline
    from unfold.decorators import action, display

    _ModelForm = forms.ModelForm

__all__ = [
    "ActionsAdmin",
    "EditableInline",
    "MarkedAdmin",
    "ReadOnlyAdmin",
    "ReadOnlyInline",
    "ScopedAdmin",
    "ScopedForm",
    "action",
    "ago",
    "chosen_again",
    "display",
    "form_page",
    "in_a_tenant",
    "in_tenants_zone",
    "in_words",
    "name_with_badge",
    "secret_page",
]


class ScopedForm(_ModelForm):
    """Checks uniqueness within the tenant although its field is not on the form."""

    def _get_validation_exclusions(self) -> set[str]:
        excluded: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]
        return excluded - {"tenant"}


class ScopedAdmin(_ModelAdmin):
    """A model's pages in the admin; `empty_hint` says what to do while there is nothing."""

    form = ScopedForm
    empty_hint = ""
    list_per_page = 50
    list_filter_sheet = True
    compressed_fields = False
    # Who did what stands in the log; a row that others refer to is never deleted.
    actions_on_top = True

    def has_add_permission(self, request: HttpRequest) -> bool:
        return in_a_tenant(request) and bool(super().has_add_permission(request))

    def formfield_for_dbfield(
        self, db_field: "Field[Any, Any]", request: HttpRequest, **options: Any
    ) -> forms.Field | None:
        field: forms.Field | None = super().formfield_for_dbfield(db_field, request, **options)
        if isinstance(field, forms.SplitDateTimeField):
            in_tenants_zone(field)
        return field

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A currency or a time zone that has to be given begins as the tenant's."""
        given: dict[str, Any] = super().get_changeform_initial_data(request)
        user = request.user
        if not isinstance(user, User) or user.membership is None:
            return given
        tenant = user.membership.tenant
        needed = {field.name for field in self.model._meta.fields if not field.blank}
        own = {name: getattr(tenant, name) for name in ("currency", "time_zone") if name in needed}
        return own | given


class _Kept(ScopedAdmin):
    """Rows that the product adds, and keeps."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(_Kept):
    """Rows that the product alone writes."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ActionsAdmin(_Kept):
    """Rows that are for reading one by one; what is done to them is an action of the list, for
    which Django asks without an object."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None and bool(super().has_change_permission(request, obj))


class MarkedAdmin(ScopedAdmin):
    """Pages of what the demo can make too: one that it made says so."""

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = tuple(super().get_fields(request, obj))
        return ("origin", *fields) if obj is not None and obj.generated else fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("origin", *super().get_readonly_fields(request, obj))

    @display(description="Origin")
    def origin(self, made: Any) -> SafeString | str:
        return name_with_badge("", made.generated)


class EditableInline(_StackedInline):
    """Rows of another model, for writing."""

    form = ScopedForm
    extra = 0


class ReadOnlyInline(_TabularInline):
    """Rows of another model, for reading."""

    extra = 0
    can_delete = False
    hide_title = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def in_a_tenant(request: HttpRequest) -> bool:
    """Whether the request acts in a tenant, and not on the list of tenants."""
    return isinstance(request.user, User) and request.user.membership is not None


def in_tenants_zone(field: forms.SplitDateTimeField) -> None:
    """Says whose clock and which form a date with a time is written in, to screen readers too."""
    zone = timezone.get_current_timezone_name()
    hint = f"In the tenant's time zone, {zone}: 2026-01-31 and 14:05."
    field.help_text = f"{field.help_text} {hint}".strip()
    widget = field.widget
    if isinstance(widget, forms.MultiWidget):
        for part, name in zip(widget.widgets, ("date", "time"), strict=True):
            part.attrs["aria-label"] = f"{field.label}: {name}"


def chosen_again(action_name: str, chosen: Iterable[Model]) -> list[tuple[str, str]]:
    """What a confirmation carries, so that the list's action then runs for the same objects."""
    return [
        ("action", action_name),
        *((ACTION_CHECKBOX_NAME, str(each.pk)) for each in chosen),
    ]


def form_page(
    page: "BaseModelAdmin[Any]", request: HttpRequest, form: forms.Form, **context: Any
) -> TemplateResponse:
    """A page with one form: `title`, `text` and `submit` say what it does, `objects` to what."""
    site: admin.AdminSite = page.admin_site
    return TemplateResponse(
        request,
        "admin/hostmeter/form_page.html",
        {**site.each_context(request), "opts": page.opts, "form": form, **context},
    )


def secret_page(page: "BaseModelAdmin[Any]", request: HttpRequest, **context: Any) -> HttpResponse:
    """Shows `secret` this once, with `text` and a `command` to use it in."""
    response = TemplateResponse(
        request,
        "admin/hostmeter/secret_page.html",
        {**page.admin_site.each_context(request), "opts": page.opts, **context},
    )
    response["Cache-Control"] = "no-store"
    return response


def ago(then: datetime | None, as_of: datetime) -> str:
    """How long ago, in one unit: "12 s ago", "3 h ago"; "never" without a moment."""
    return "never" if then is None else f"{in_words(as_of - then)} ago"


def in_words(length: timedelta) -> str:
    """A length of time in its largest whole unit: "45 s", "12 min"; below zero is "0 s"."""
    seconds = max(int(length.total_seconds()), 0)
    for unit, size in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def name_with_badge(name: str, generated: bool) -> SafeString | str:
    """The name, marked where the demo made the thing."""
    if not generated:
        return name
    return format_html(
        '{} <span class="bg-base-100 dark:bg-base-800 font-normal inline-block px-1.5 py-0.5 '
        'rounded-default text-base-600 dark:text-base-300 text-xs whitespace-nowrap" '
        'title="Made by the demo; nothing real stands behind it.">generated</span>',
        name,
    )


def site_subheader(request: HttpRequest) -> str:
    """Whose data the page shows, and in which time zone."""
    user = request.user
    if not isinstance(user, User) or user.membership is None:
        return "Installation"
    tenant = user.membership.tenant
    return f"{tenant.name} · {tenant.time_zone}"
