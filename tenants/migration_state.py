"""How much of the models' state Django builds anew while it migrates.

After each operation it renders every model that is related to the changed one, either way and over
any number of steps. Nearly every model here refers to the tenant, so that each of some 500
operations rendered them all, which was 19 of the 22 seconds of a first `migrate` (decision 0062).
What a changed model refers to can stay as it is: the new class takes its place there. What refers
to it, directly or not, has to know the new class, and is rendered with it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db.migrations.state import ModelState, ProjectState
from django.db.migrations.utils import RECURSIVE_RELATIONSHIP_CONSTANT, resolve_relation

Key = tuple[str, str]


@contextmanager
def rendering_what_refers_to_a_change() -> Iterator[None]:
    """While it lasts, no more is rendered than that. A Django that has no such method renders as it
    does."""
    whole = getattr(ProjectState, "_find_reload_model", None)
    if whole is None:
        yield
        return
    ProjectState._find_reload_model = _referring  # type: ignore[attr-defined]
    try:
        yield
    finally:
        ProjectState._find_reload_model = whole  # type: ignore[attr-defined]


def _referring(
    state: ProjectState, app_label: str, model_name: str, delay: bool = False
) -> set[Key]:
    """The model, and those that refer to it, those that refer to these, and so on."""
    models: Mapping[Key, ModelState] = state.models
    found = {(app_label, model_name)}
    queue = [*found]
    while queue:
        changed = queue.pop()
        new = [
            key for key in models if key not in found and changed in _referred_to(key, models[key])
        ]
        found.update(new)
        queue += new
    return found


def _referred_to(key: Key, model: ModelState) -> Iterator[Key]:
    fields: Mapping[str, Any] = model.fields
    for field in fields.values():
        if field.is_relation and field.remote_field.model != RECURSIVE_RELATIONSHIP_CONSTANT:
            yield resolve_relation(field.remote_field.model, *key)
            if through := getattr(field.remote_field, "through", None):
                yield resolve_relation(through, *key)
    for base in model.bases:
        if isinstance(base, str):
            yield resolve_relation(base, *key)
