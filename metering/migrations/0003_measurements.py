import uuid
from importlib import import_module

import django.db.models.deletion
from django.db import migrations, models

import tenants.scope
from tenants.isolation import IsolateTable

_BEFORE = import_module("metering.migrations.0002_hour_rollups")

# What was stored before states nothing of how it was measured.
COLUMNS = """
ALTER TABLE metering_sample ADD COLUMN measurement_id uuid;
ALTER TABLE metering_rollup
    ADD COLUMN measurements uuid[] NOT NULL DEFAULT ARRAY[NULL]::uuid[];
ALTER TABLE metering_hourrollup
    ADD COLUMN measurements uuid[] NOT NULL DEFAULT ARRAY[NULL]::uuid[];
"""

# Arrays of different lengths do not gather into one; their texts do, in one pass and unsorted.
HOURS_OF = (
    _BEFORE.HOURS_OF.replace(", more\n)", ", more, measurements\n)")
    .replace(
        "jsonb_agg(more) FILTER (WHERE more IS NOT NULL) AS every_more",
        "jsonb_agg(more) FILTER (WHERE more IS NOT NULL) AS every_more,\n"
        "        array_agg(measurements::text) AS every_measurements",
    )
    .replace(
        "        ) AS meters\n    )\nFROM",
        "        ) AS meters\n    ),\n"
        "    coalesce((\n"
        "        SELECT array_agg(DISTINCT id)\n"
        "        FROM (SELECT DISTINCT written FROM unnest(every_measurements) AS written) AS lists,\n"
        "            unnest(written::uuid[]) AS id\n"
        "    ), ARRAY[NULL]::uuid[])\nFROM",
    )
)

FOLLOW = (
    _BEFORE.FOLLOW.partition("CREATE TRIGGER")[0]
    .replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
    .replace(_BEFORE.HOURS_OF, HOURS_OF)
    .replace("more = excluded.more;", "more = excluded.more, measurements = excluded.measurements;")
)


class Migration(migrations.Migration):
    dependencies = [
        ("metering", "0002_hour_rollups"),
    ]

    operations = [
        migrations.CreateModel(
            name="Measurement",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "digest",
                    models.BinaryField(help_text="SHA-256 of the content.", max_length=32),
                ),
                (
                    "body",
                    models.JSONField(
                        help_text='{"meters": {meter: [quality, method]}, "gap": cause, '
                        '"marks": [mark]}.'
                    ),
                ),
                (
                    "brought_by",
                    models.UUIDField(
                        editable=False,
                        help_text="The host that was the first to name it.",
                        null=True,
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        default=tenants.scope.current_tenant_id,
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "digest"), name="measurement_once")
                ],
                "indexes": [
                    models.Index(fields=["tenant", "brought_by"], name="measurement_brought_by")
                ],
            },
        ),
        IsolateTable("Measurement"),
        migrations.RunSQL(COLUMNS, migrations.RunSQL.noop),
        migrations.RunSQL(FOLLOW, migrations.RunSQL.noop),
    ]
