import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import F, Q

import tenants.scope
from tenants.isolation import IsolateTable

# Entries are never taken back, and what an impersonation was for is not written anew.
GUARDS = """
CREATE FUNCTION tenants_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are only ever added', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'append_only';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON tenants_auditentry
    FOR EACH ROW EXECUTE FUNCTION tenants_refuse_change();
CREATE FUNCTION tenants_keep_impersonation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.ended_at IS NULL
            AND to_jsonb(NEW) - 'ended_at' = to_jsonb(OLD) - 'ended_at' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'an impersonation only ends, once'
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'impersonation_kept';
END $$;
CREATE TRIGGER impersonation_kept BEFORE UPDATE OR DELETE ON tenants_impersonation
    FOR EACH ROW EXECUTE FUNCTION tenants_keep_impersonation();
"""


def _id() -> tuple[str, models.Field]:
    return (
        "id",
        models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
    )


def _tenant() -> tuple[str, models.Field]:
    return (
        "tenant",
        models.ForeignKey(
            default=tenants.scope.current_tenant_id,
            editable=False,
            on_delete=django.db.models.deletion.PROTECT,
            related_name="+",
            to="tenants.tenant",
        ),
    )


def _optional(model: str) -> models.Field:
    return models.ForeignKey(
        db_constraint=False,
        null=True,
        on_delete=django.db.models.deletion.PROTECT,
        related_name="+",
        to=f"tenants.{model}",
    )


class Migration(migrations.Migration):
    """What was done is noted, and staff look as a customer with a reason."""

    dependencies = [("tenants", "0012_mail")]

    operations = [
        migrations.CreateModel(
            name="Impersonation",
            fields=[
                _id(),
                _tenant(),
                ("reason", models.CharField(max_length=300)),
                ("may_change", models.BooleanField(default=False)),
                ("started_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField(help_text="At the latest.")),
                ("ended_at", models.DateTimeField(null=True)),
                ("customer", _optional("customer")),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-started_at"],
                "constraints": [
                    models.CheckConstraint(
                        condition=Q(ends_at__gt=F("started_at")), name="impersonation_lasts"
                    ),
                    models.CheckConstraint(
                        condition=~Q(reason=""), name="impersonation_has_a_reason"
                    ),
                ],
            },
        ),
        IsolateTable("Impersonation"),
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                _id(),
                _tenant(),
                ("occurred_at", models.DateTimeField()),
                (
                    "action",
                    models.CharField(help_text="A key of tenants.audit.ACTIONS.", max_length=40),
                ),
                (
                    "actor",
                    models.CharField(
                        blank=True, help_text="E-mail; empty for programs.", max_length=254
                    ),
                ),
                (
                    "subject",
                    models.CharField(blank=True, help_text="What it was done to.", max_length=200),
                ),
                ("reason", models.CharField(blank=True, max_length=300)),
                ("details", models.JSONField(default=dict)),
                ("address", models.GenericIPAddressField(null=True)),
                ("user_agent", models.CharField(blank=True, max_length=200)),
                ("customer", _optional("customer")),
                ("impersonation", _optional("impersonation")),
            ],
            options={
                "ordering": ["-occurred_at", "-id"],
                "verbose_name_plural": "audit log",
                "indexes": [
                    models.Index(
                        fields=["tenant", "-occurred_at", "-id"], name="audit_entry_newest"
                    ),
                    models.Index(
                        fields=["tenant", "customer", "-occurred_at", "-id"],
                        name="audit_entry_of_customer",
                    ),
                ],
            },
        ),
        IsolateTable("AuditEntry"),
        migrations.RunSQL(GUARDS, migrations.RunSQL.noop),
    ]
