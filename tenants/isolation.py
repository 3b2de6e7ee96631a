"""Row-level isolation as a migration operation: a table is closed from its first migration on."""

from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import ForeignKey

APP_ROLE = "hostmeter_app"
# The sub-select has the setting read once a statement; a bare call is made once a row.
TENANT_ONLY = "tenant_id = (SELECT hostmeter_tenant())"


def close_statements(table: str, condition: str = TENANT_ONLY) -> list[str]:
    """SQL that forces row-level security on `table`: read and written where `condition` holds."""
    return [
        f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY',
        f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY',
        f'CREATE POLICY tenant_only ON "{table}" USING ({condition}) WITH CHECK ({condition})',
    ]


class IsolateTable(Operation):
    """Close a model's new table: forced row-level security, and tenant_id in its primary key and
    in every foreign key to another tenant-owned table, so that a row can never point across
    tenants and tables can be distributed by tenant.

    Django goes on seeing the single column as the key; the database knows better. A history's rows
    outlive what they point at: with `references` false they are held to nothing.
    """

    reversible = True
    reduces_to_sql = True

    def __init__(self, name: str, also_readable_if: str = "", *, references: bool = True) -> None:
        self.name = name
        self.also_readable_if = also_readable_if
        self.references = references

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        pass

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        model = to_state.apps.get_model(app_label, self.name)
        table, key = model._meta.db_table, model._meta.pk.column
        statements = [
            f'ALTER TABLE "{table}" DROP CONSTRAINT "{table}_pkey", '
            f'ADD CONSTRAINT "{table}_pkey" PRIMARY KEY (tenant_id, "{key}")',
            *close_statements(table),
        ]
        if self.also_readable_if:
            statements.append(
                f'CREATE POLICY also_readable ON "{table}" FOR SELECT '
                f"USING ({self.also_readable_if})"
            )
        for field in model._meta.local_fields if self.references else ():
            if isinstance(field, ForeignKey) and _is_tenant_owned(field.related_model):
                statements.append(_foreign_key_statement(table, field))
        for statement in statements:
            schema_editor.execute(statement)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Nothing to undo: the table itself is dropped by the operation before this one."""

    def describe(self) -> str:
        return f"Isolate {self.name} by tenant"


def _is_tenant_owned(model: Any) -> bool:
    return any(field.column == "tenant_id" for field in model._meta.local_fields)


def _foreign_key_statement(table: str, field: "ForeignKey[Any, Any]") -> str:
    target = field.related_model._meta.db_table
    return (
        f'ALTER TABLE "{table}" ADD CONSTRAINT "{table}_{field.column}_fk" '
        f'FOREIGN KEY (tenant_id, "{field.column}") REFERENCES "{target}" (tenant_id, id) '
        "DEFERRABLE INITIALLY DEFERRED"
    )
