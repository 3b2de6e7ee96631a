import uuid

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import tenants.scope
from tenants.isolation import IsolateTable

RULES_ARE_RECORDS = """
CREATE TRIGGER allocation_rule_is_a_record BEFORE UPDATE OR DELETE ON metering_allocationrule
    FOR EACH ROW EXECUTE FUNCTION metering_refuse_change(
        'allocation rule', 'allocation_rule_is_a_record'
    );
"""
RULES_CHANGE = "DROP TRIGGER allocation_rule_is_a_record ON metering_allocationrule"

# What does not concern a host's usage has it not allocated once more: not what allocation posts.
MARKS = "ALTER TABLE metering_dirtybucket ADD COLUMN of_host boolean NOT NULL DEFAULT true"
NO_MARKS = "ALTER TABLE metering_dirtybucket DROP COLUMN of_host"


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


class Migration(migrations.Migration):
    dependencies = [
        ("metering", "0008_day_rollups"),
        ("tenants", "0003_api_access"),
    ]

    operations = [
        migrations.CreateModel(
            name="AllocationRule",
            fields=[
                _id(),
                _tenant(),
                ("meter", models.CharField(max_length=64)),
                (
                    "spread",
                    models.CharField(
                        choices=[
                            ("none", "none"),
                            ("by_share", "by share"),
                            ("evenly", "evenly"),
                        ],
                        max_length=8,
                    ),
                ),
                (
                    "host",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="allocation_rules",
                        to="metering.host",
                    ),
                ),
                ("host_class", models.CharField(blank=True, max_length=60)),
                (
                    "starts_at",
                    models.DateTimeField(help_text="The start of an hour (UTC)."),
                ),
                ("author", models.CharField(editable=False, max_length=254)),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
            ],
            options={
                "ordering": ["meter", "-starts_at", "-created_at"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("host__isnull", True), ("host_class", ""), _connector="OR"
                        ),
                        name="allocation_rule_scope",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AllocationMark",
            fields=[_id(), _tenant(), ("hour", models.DateTimeField())],
            options={
                "indexes": [models.Index(fields=["tenant", "hour"], name="allocation_mark_hour")],
            },
        ),
        IsolateTable("AllocationRule"),
        IsolateTable("AllocationMark"),
        migrations.RunSQL(RULES_ARE_RECORDS, RULES_CHANGE),
        migrations.RunSQL(MARKS, NO_MARKS),
        migrations.RemoveConstraint(model_name="event", name="event_quantity"),
        migrations.AddConstraint(
            model_name="event",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("quantity__gte", 0), ("type", "hostmeter.allocated.v1"), _connector="OR"
                ),
                name="event_quantity",
            ),
        ),
        migrations.AddIndex(
            model_name="event",
            index=models.Index(
                condition=models.Q(("type", "hostmeter.allocated.v1")),
                fields=["tenant", "bucket_start"],
                name="event_allocated",
            ),
        ),
    ]
