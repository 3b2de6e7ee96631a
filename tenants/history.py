"""What became of a record: each change with what it was before, who made it and why."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Any, Final
from uuid import UUID

from django.db.models import Field, ForeignKey, Model

CHANGES_SHOWN_MAX: Final = 200
_OF_EACH: Final = frozenset({"id", "tenant"})
_KINDS: Final = {"insert": "made", "update": "changed", "delete": "removed"}


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field's value before and after, in the words of its admin; None where there was none."""

    label: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Change:
    """`kind` is "made", "changed" or "removed". who, reason and request: "" where nobody said."""

    at: datetime
    kind: str
    who: str
    reason: str
    request: str
    name: str
    object_id: UUID
    fields: tuple[FieldChange, ...]


def is_kept(model: type[Model]) -> bool:
    """Whether changes of the model's records are kept."""
    return hasattr(model, "pgh_event_model")


def changes_of(model: type[Model], object_id: UUID) -> list[Change]:
    """The newest CHANGES_SHOWN_MAX of one record, newest first; of one that is gone as well."""
    kept: Any = model
    rows = list(
        kept.pgh_event_model.objects.filter(pgh_obj_id=object_id).order_by("-pgh_id")[
            : CHANGES_SHOWN_MAX + 1
        ]
    )
    names = _names(rows, model)
    shown = [_change(after, before, model, names) for after, before in zip_longest(rows, rows[1:])]
    return shown[:CHANGES_SHOWN_MAX]


def _fields(model: type[Model], row: Model) -> Iterable["Field[Any, Any]"]:
    kept = {field.name for field in row._meta.fields}
    for field in model._meta.concrete_fields:
        if field.name in kept and field.name not in _OF_EACH:
            yield field


def _change(
    after: Any, before: Any, model: type[Model], names: Mapping[tuple[str, Any], str]
) -> Change:
    context = after.pgh_context or {}
    kind = _KINDS.get(after.pgh_label, after.pgh_label)
    removed = kind == "removed"
    changed = []
    for field in _fields(model, after):
        now = None if removed else _shown(field, after, names)
        was = _shown(field, after if removed else before, names)
        if now != was:
            changed.append(FieldChange(str(field.verbose_name), was, now))
    return Change(
        at=after.pgh_created_at,
        kind=kind,
        who=str(context.get("who", "")),
        reason=str(context.get("reason", "")),
        request=str(context.get("request", "")),
        name=str(getattr(after, "name", "")),
        object_id=after.pgh_obj_id,
        fields=tuple(changed),
    )


def _shown(field: "Field[Any, Any]", row: Any, names: Mapping[tuple[str, Any], str]) -> Any:
    """None for no value, so that what was never set is no change."""
    if row is None:
        return None
    value = getattr(row, field.attname)
    if value is None or value == "" or value == []:
        return None
    if isinstance(field, ForeignKey):
        return names.get((field.name, value), f"removed since ({value})")
    return str(dict(field.flatchoices)[value]) if field.flatchoices else value


def _names(rows: Sequence[Any], model: type[Model]) -> dict[tuple[str, Any], str]:
    """What foreign keys point at, by the field and the key: one query for each such field."""
    if not rows:
        return {}
    names = {}
    for field in _fields(model, rows[0]):
        if isinstance(field, ForeignKey):
            keys = {getattr(row, field.attname) for row in rows} - {None}
            related: Any = field.related_model
            for found in related._default_manager.filter(pk__in=keys) if keys else ():
                names[field.name, found.pk] = str(found)
    return names
