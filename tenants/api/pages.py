"""Lists, a page at a time: the cursor is the last row's place, so that rows that come and go
while somebody turns pages move no others."""

from collections.abc import Callable
from typing import Annotated, Any, Generic, TypeVar

from django.core import signing
from django.db.models import DateTimeField, Model, Q, QuerySet
from pydantic import Field

from tenants.api.errors import unprocessable
from tenants.api.fields import Given, Limit, Taken

Shown = TypeVar("Shown")
Row = TypeVar("Row", bound=Model)


class Page(Given, Generic[Shown]):
    """`next` is the cursor of the page after this one; null on the last."""

    data: list[Shown]
    next: str | None


class Paging(Taken):
    """How many rows, after which one."""

    limit: Annotated[Limit, Field(description="Rows of a page, at most.")] = 50
    cursor: Annotated[
        str | None, Field(max_length=500, description="The `next` of the page before.")
    ] = None


def page_of(
    rows: "QuerySet[Row]",
    paging: Paging,
    shown: Callable[[Row], Shown],
    *,
    by: str,
    newest_first: bool = False,
) -> Page[Shown]:
    """The page of `rows`, in the order of the field `by` and then of their ids.

    Raises Problem 422 for a cursor that no page of this list has given.
    """
    label = rows.model._meta.label
    signer = signing.Signer(salt=f"cursor of {label} by {by} {newest_first}")
    if paging.cursor is not None:
        rows = rows.filter(_beyond(_place(signer, rows.model, by, paging.cursor), by, newest_first))
    sign = "-" if newest_first else ""
    found = list(rows.order_by(f"{sign}{by}", f"{sign}pk")[: paging.limit + 1])
    kept = found[: paging.limit]
    more = len(found) > len(kept)
    return Page(
        data=[shown(row) for row in kept],
        next=_cursor(signer, kept[-1], by) if more else None,
    )


def _cursor(signer: signing.Signer, row: Model, by: str) -> str:
    value = getattr(row, by)
    field = row._meta.get_field(by)
    written = value.isoformat() if isinstance(field, DateTimeField) else value
    return signer.sign_object([written, str(row.pk)])


def _place(signer: signing.Signer, model: type[Model], by: str, cursor: str) -> tuple[Any, Any]:
    try:
        value, pk = signer.unsign_object(cursor)
    except signing.BadSignature:
        raise unprocessable(("cursor", "it is not the next of a page of this list")) from None
    field: Any = model._meta.get_field(by)
    return field.to_python(value), pk


def _beyond(place: tuple[Any, Any], by: str, newest_first: bool) -> Q:
    value, pk = place
    beyond = "lt" if newest_first else "gt"
    return Q(**{f"{by}__{beyond}": value}) | Q(**{by: value, f"pk__{beyond}": pk})
