"""Migrations build anew what refers to a change, and nothing else."""

from collections.abc import Iterator

import pytest
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from tenants.migration_state import rendering_what_refers_to_a_change


@pytest.fixture
def state() -> Iterator[ProjectState]:
    """As the migrations leave it, with its models rendered."""
    state = MigrationLoader(None).project_state()
    assert state.apps.get_models()
    with rendering_what_refers_to_a_change():
        yield state


def classes(state: ProjectState) -> dict[str, type]:
    return {model._meta.label_lower: model for model in state.apps.get_models()}


def test_what_refers_to_a_changed_model_refers_to_its_new_class(state: ProjectState) -> None:
    before = classes(state)
    state.reload_model("billing", "invoice")
    after = classes(state)
    anew = {label for label in after if after[label] is not before[label]}
    assert {"billing.invoice", "billing.invoiceline", "billing.paymentattempt"} <= anew
    assert not {"tenants.tenant", "tenants.customer", "metering.host"} & anew
    for model in after.values():
        for field in model._meta.local_fields:  # type: ignore[attr-defined]
            if field.is_relation:
                known = after[field.related_model._meta.label_lower]
                assert field.related_model is known, f"{model}: {field}"


def test_what_a_changed_model_refers_to_knows_its_new_class(state: ProjectState) -> None:
    state.reload_model("billing", "invoiceline")
    after = classes(state)
    relations = after["billing.invoice"]._meta.related_objects  # type: ignore[attr-defined]
    for relation in relations:
        assert relation.related_model is after[relation.related_model._meta.label_lower]
