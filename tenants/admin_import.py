"""Rows from a file, and into one, for the admin's lists: previewed with what is wrong in each row,
inside the tenant alone, and of bounded size."""

from typing import TYPE_CHECKING, Any, ClassVar, Final

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from import_export.admin import ExportMixin, ImportMixin
from import_export.formats.base_formats import CSV, JSON
from import_export.resources import ModelResource
from import_export.tmp_storages import CacheStorage
from import_export.widgets import ForeignKeyWidget
from unfold.contrib.import_export.forms import ExportForm, ImportForm

from tenants.admin_pages import in_a_tenant
from tenants.audit import note
from tenants.scope import current_tenant_id

if TYPE_CHECKING:
    from tenants.admin_pages import ScopedAdmin as _Pages

    class _Importing(_Pages): ...

    class _Exporting(_Pages): ...

    class _Resource: ...

    class _Named:
        def __init__(self, model: Any, field: str) -> None: ...

else:
    _Importing, _Exporting = ImportMixin, ExportMixin
    _Resource, _Named = ModelResource, ForeignKeyWidget

FILE_BYTES_MAX: Final = 2 * 1024 * 1024
ROWS_IN_MAX: Final = 5_000
ROWS_OUT_MAX: Final = 50_000


class TenantStorage(CacheStorage):  # type: ignore[misc]
    """Keeps a file from its preview to its import, where every process finds it and another tenant
    does not."""

    CACHE_LIFETIME = 3_600

    @property
    def CACHE_PREFIX(self) -> str:  # noqa: N802 the library's name
        return f"import-{current_tenant_id()}-"


class Named(_Named):
    """Another object by a field that people know it by. Row-level security leaves those of the
    tenant, so that another tenant's name answers as one that there is not."""

    def clean(self, value: Any, row: Any = None, **options: Any) -> Any:
        try:
            return super().clean(value, row, **options)  # type: ignore[misc]
        except self.model.DoesNotExist:  # type: ignore[attr-defined]
            name = self.model._meta.verbose_name  # type: ignore[attr-defined]
            raise ValueError(f"there is no {name} {value!r}") from None


class TenantResource(_Resource):
    """Rows of the tenant's. Each is checked as a form would be; a file with a wrong row changes
    nothing."""

    def before_import(self, dataset: Any, **options: Any) -> None:
        if len(dataset) > ROWS_IN_MAX:
            raise ValidationError(
                f"The file has {len(dataset):,} rows; at most {ROWS_IN_MAX:,} are taken at once."
            )
        if len(set(dataset.headers)) != len(dataset.headers):
            raise ValidationError("A column stands twice in the first line.")

    def filter_export(self, queryset: Any, **options: Any) -> Any:
        """The newest of very many: a file of all is what the export of everything is for."""
        return queryset[:ROWS_OUT_MAX]


class OnlyNew(TenantResource):
    """Rows that are there already are left as they are: what was agreed is not rewritten."""

    def skip_row(
        self, instance: Any, original: Any, row: Any, import_validation_errors: Any = None
    ) -> bool:
        return not instance._state.adding


class _ImportForm(ImportForm):  # type: ignore[misc]
    def clean_import_file(self) -> Any:
        file = self.cleaned_data["import_file"]
        if file.size > FILE_BYTES_MAX:
            raise forms.ValidationError(
                f"The file has {file.size:,} bytes; at most {FILE_BYTES_MAX:,} are taken."
            )
        return file


class Exports(_Exporting):
    """For a model's admin: a file of what its list shows."""

    export_form_class = ExportForm
    formats: ClassVar[list[Any]] = [CSV, JSON]

    def has_export_permission(self, request: HttpRequest) -> bool:
        return in_a_tenant(request) and bool(self.has_view_permission(request))

    def get_valid_export_item_pks(self, request: HttpRequest) -> list[Any]:
        """Of what the list shows, and no more. The library's own warns that it will go."""
        return list(self.get_queryset(request).values_list("pk", flat=True))

    def get_data_for_export(self, request: HttpRequest, queryset: Any, **options: Any) -> Any:
        rows = super().get_data_for_export(request, queryset, **options)  # type: ignore[misc]
        name = str(self.opts.verbose_name_plural)
        note("export_downloaded", as_of=timezone.now(), subject=name, rows=len(rows))
        return rows


class ImportsAndExports(_Importing, Exports):
    """As Exports, and rows from a file."""

    import_form_class = _ImportForm
    tmp_storage_class = TenantStorage
    import_export_change_list_template = "admin/hostmeter/change_list_import_export.html"

    def has_import_permission(self, request: HttpRequest) -> bool:
        return in_a_tenant(request) and request.user.has_perm(
            f"{self.opts.app_label}.add_{self.opts.model_name}"
        )
