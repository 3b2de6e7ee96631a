import uuid

import django.db.models.deletion
from django.db import migrations, models

import tenants.scope
from tenants.isolation import IsolateTable

# What went on over midnight becomes the newest of its rows, which is the one that may go on.
DAYS = """
WITH cut AS (
    SELECT
        *,
        coalesce(first_over_at - lag(last_over_at) OVER own > interval '30 minutes', true) AS begins
    FROM metering_policybreach
    WHERE term NOT IN ('application_spend_max', 'customer_spend_max')
    WINDOW own AS (
        PARTITION BY tenant_id, version_id, term, application_id, host_id ORDER BY day
    )
),
numbered AS (
    SELECT
        *,
        count(*) FILTER (WHERE begins) OVER (
            PARTITION BY tenant_id, version_id, term, application_id, host_id ORDER BY day
        ) AS breach_number
    FROM cut
)
INSERT INTO metering_breachday
    (id, tenant_id, breach_id, day, measured, buckets_over, first_over_at, last_over_at)
SELECT
    gen_random_uuid(),
    tenant_id,
    first_value(id) OVER (
        PARTITION BY tenant_id, version_id, term, application_id, host_id, breach_number
        ORDER BY day DESC
    ),
    day, measured, buckets_over, first_over_at, last_over_at
FROM numbered
"""
NO_LONGER = """
DELETE FROM metering_policybreach AS breach
WHERE
    term NOT IN ('application_spend_max', 'customer_spend_max')
    AND NOT EXISTS (
        SELECT FROM metering_breachday AS part
        WHERE part.tenant_id = breach.tenant_id AND part.breach_id = breach.id
    )
"""
WHOLE = """
UPDATE metering_policybreach AS breach
SET
    day = whole.day,
    measured = whole.measured,
    buckets_over = whole.buckets_over,
    first_over_at = whole.first_over_at
FROM (
    SELECT
        tenant_id,
        breach_id,
        min(day) AS day,
        max(measured) AS measured,
        sum(buckets_over) AS buckets_over,
        min(first_over_at) AS first_over_at
    FROM metering_breachday
    GROUP BY tenant_id, breach_id
) AS whole
WHERE breach.tenant_id = whole.tenant_id AND breach.id = whole.breach_id
"""


class Migration(migrations.Migration):
    """A breach of a limit that passes midnight is one, and keeps what it was on each of its days."""

    dependencies = [
        ("metering", "0016_policy_breaches"),
        ("tenants", "0014_policy_spend"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="policybreach",
            options={
                "ordering": ["-last_over_at", "id"],
                "verbose_name": "limit breach",
                "verbose_name_plural": "limit breaches",
            },
        ),
        migrations.AlterField(
            model_name="policybreach",
            name="day",
            field=models.DateField(
                help_text="The day in UTC on which it began; of spend, the first of the month."
            ),
        ),
        migrations.AddIndex(
            model_name="policybreach",
            index=models.Index(fields=["tenant", "last_over_at"], name="policy_breach_last_over"),
        ),
        migrations.CreateModel(
            name="BreachDay",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("day", models.DateField()),
                (
                    "measured",
                    models.DecimalField(decimal_places=4, max_digits=54, null=True),
                ),
                ("buckets_over", models.PositiveIntegerField()),
                ("first_over_at", models.DateTimeField()),
                ("last_over_at", models.DateTimeField()),
                (
                    "breach",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="days",
                        to="metering.policybreach",
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
                "ordering": ["day", "id"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant", "breach", "day"), name="breach_day_once"
                    )
                ],
            },
        ),
        IsolateTable("BreachDay"),
        migrations.RunSQL(DAYS, migrations.RunSQL.noop),
        migrations.RunSQL(NO_LONGER, migrations.RunSQL.noop),
        migrations.RunSQL(WHOLE, migrations.RunSQL.noop),
    ]
