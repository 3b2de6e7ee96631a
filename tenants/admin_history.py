"""Who changed what and why, in the admin: a reason on each form, and a record's history."""

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django import forms
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminTextInputWidget

from tenants.admin_pages import ScopedForm
from tenants.authorship import REASON_LENGTH_MAX, note_reason
from tenants.history import CHANGES_SHOWN_MAX, changes_of

if TYPE_CHECKING:
    from tenants.admin_pages import ScopedAdmin as _Pages
else:
    _Pages = object

REASON: Final = "reason"


class ReasonedForm(ScopedForm):
    """Asks why, beside what."""

    reason = forms.CharField(
        required=False,
        max_length=REASON_LENGTH_MAX,
        widget=UnfoldAdminTextInputWidget,
        label="Reason",
        help_text="Why, for those who look at the history later.",
    )


class HistoryPages(_Pages):
    """For the admin of a model whose changes are kept."""

    form = ReasonedForm

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = [field for field in super().get_fields(request, obj) if field != REASON]
        may = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        return [*fields, REASON] if may else fields

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        # Before anything is written: inlines and related rows have the same reason.
        note_reason(str(form.cleaned_data.get(REASON) or ""))
        return super().save_form(request, form, change)

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **options: Any
    ) -> Any:
        return super().render_change_form(
            request, {**context, "show_history": True}, *args, **options
        )

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Each change from what to what, when, by whom and why; a removed record's as well."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        changes = changes_of(self.model, _key(object_id))
        found = self.get_object(request, unquote(object_id))
        if found is None and not changes:
            return self._get_obj_does_not_exist_redirect(  # type: ignore[attr-defined,no-any-return]
                request, self.opts, object_id
            )
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"History of {found or changes[0].name or self.opts.verbose_name}",
            "object": found,
            "changes": changes,
            "changes_max": CHANGES_SHOWN_MAX,
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/hostmeter/history.html", context)


def _key(object_id: str) -> UUID:
    try:
        return UUID(unquote(object_id))
    except ValueError:
        return UUID(int=0)
