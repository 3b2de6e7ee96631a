from importlib import import_module

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

from tenants.isolation import close_statements

_HOURS = import_module("metering.migrations.0002_hour_rollups")
_USAGE = import_module("metering.migrations.0006_usage")

QUANTITIES = (*_HOURS.SUMS, *_HOURS.MAXIMA)
COLUMNS = ("window_us", "covered_us", *QUANTITIES, "more")
KEY = ("tenant_id", "application_id", "bucket_start", "role", "measurements")

TABLE = f"""
CREATE TABLE metering_dayrollup (
    tenant_id uuid NOT NULL,
    application_id uuid NOT NULL,
    bucket_start timestamptz NOT NULL,
    role text NOT NULL,
    measurements uuid[] NOT NULL,
    window_us numeric NOT NULL,
    covered_us numeric NOT NULL,
    {", ".join(f"{name} numeric" for name in QUANTITIES)},
    more jsonb,
    PRIMARY KEY ({", ".join(KEY)})
)
-- Room to write the running day anew, again and again, on its own page.
WITH (fillfactor = 90);
"""

# What the days of some hours (`chosen`) are.
DAYS_OF = f"""
INSERT INTO metering_dayrollup ({", ".join((*KEY, *COLUMNS))})
SELECT
    tenant_id, application_id, day, role, measurements,
    sum(window_us), sum(covered_us),
    {", ".join(f"sum({name})" for name in _HOURS.SUMS)},
    {", ".join(f"max({name})" for name in _HOURS.MAXIMA)},
    metering_combined_more(jsonb_agg(more) FILTER (WHERE more IS NOT NULL))
FROM chosen
GROUP BY tenant_id, application_id, day, role, measurements
"""  # noqa: S608  the names above

COMBINED_MORE = """
CREATE FUNCTION metering_combined_more(every jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT jsonb_object_agg(meter, quantity)
    FROM (
        SELECT
            meter,
            CASE WHEN right(meter, 4) = '.max' THEN max(number::numeric)
                ELSE sum(number::numeric) END AS quantity
        FROM jsonb_array_elements(every) AS hour (more), jsonb_each(hour.more) AS entry (meter, number)
        GROUP BY meter
    ) AS meters
$$;
"""

FILL = f"""
WITH chosen AS NOT MATERIALIZED (
    SELECT *, date_trunc('day', bucket_start, 'UTC') AS day FROM metering_hourrollup
)
{DAYS_OF}
"""  # noqa: S608

# A day is 24 hours of UTC, whatever the session's clock is set to. Its end is a column: under
# row-level security no sum could become a bound of the index.
DIRTY = """dirty AS MATERIALIZED (
        SELECT tenant_id, application_id, day, day + interval '24 hours' AS day_end
        FROM (
            SELECT DISTINCT
                tenant_id, application_id, date_trunc('day', bucket_start, 'UTC') AS day
            FROM touched
        ) AS days
    )"""

# Whoever writes hours, their days follow in the same statement. Planned as hours are: for a few of
# them, found by their key; OFFSET keeps it so where the tables seem to be empty, since nobody has
# counted their rows yet.
FOLLOW = f"""
CREATE FUNCTION metering_keep_days() RETURNS trigger LANGUAGE plpgsql
SET enable_nestloop = on SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_seqscan = off AS $$
DECLARE left_behind boolean;
BEGIN
    IF NOT EXISTS (SELECT FROM touched) THEN
        RETURN NULL;
    END IF;
    -- New hours leave no day without any, nor do those that are measured as they were.
    left_behind := TG_OP = 'DELETE';
    IF TG_OP = 'UPDATE' THEN
        left_behind := EXISTS (
            SELECT tenant_id, application_id, bucket_start, role, measurements FROM before
            EXCEPT
            SELECT tenant_id, application_id, bucket_start, role, measurements FROM touched
        );
    END IF;
    IF left_behind THEN
        WITH {DIRTY}
        DELETE FROM metering_dayrollup
        WHERE ctid = ANY (ARRAY(
            SELECT stale.ctid
            FROM dirty
            CROSS JOIN LATERAL (
                SELECT day.ctid
                FROM metering_dayrollup AS day
                WHERE day.tenant_id = dirty.tenant_id
                    AND day.application_id = dirty.application_id
                    AND day.bucket_start = dirty.day
                    AND NOT EXISTS (
                        SELECT
                        FROM metering_hourrollup AS hour
                        WHERE hour.tenant_id = dirty.tenant_id
                            AND hour.application_id = dirty.application_id
                            AND hour.bucket_start >= dirty.day AND hour.bucket_start < dirty.day_end
                            AND hour.role = day.role AND hour.measurements = day.measurements
                    )
                OFFSET 0
            ) AS stale
        ));
    END IF;
    WITH {DIRTY},
    chosen AS NOT MATERIALIZED (
        SELECT hour.*, dirty.day
        FROM dirty
        CROSS JOIN LATERAL (
            SELECT *
            FROM metering_hourrollup
            WHERE tenant_id = dirty.tenant_id
                AND application_id = dirty.application_id
                AND bucket_start >= dirty.day
                AND bucket_start < dirty.day_end
            OFFSET 0
        ) AS hour
    )
    {DAYS_OF}
    ON CONFLICT ({", ".join(KEY)}) DO UPDATE SET
        {", ".join(f"{name} = excluded.{name}" for name in COLUMNS)};
    RETURN NULL;
END $$;
CREATE TRIGGER days_follow_insert AFTER INSERT ON metering_hourrollup
    REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION metering_keep_days();
CREATE TRIGGER days_follow_update AFTER UPDATE ON metering_hourrollup
    REFERENCING OLD TABLE AS before NEW TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION metering_keep_days();
CREATE TRIGGER days_follow_delete AFTER DELETE ON metering_hourrollup
    REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION metering_keep_days();
"""  # noqa: S608

# Hours are found as days are.
HOURS_BY_KEY = _USAGE.FOLLOW.replace(
    """
        JOIN metering_rollup AS rollup
            ON rollup.tenant_id = dirty.tenant_id
            AND rollup.application_id = dirty.application_id
            AND rollup.bucket_start >= dirty.hour
            AND rollup.bucket_start < dirty.hour_end
""",
    """
        CROSS JOIN LATERAL (
            SELECT *
            FROM metering_rollup
            WHERE tenant_id = dirty.tenant_id
                AND application_id = dirty.application_id
                AND bucket_start >= dirty.hour
                AND bucket_start < dirty.hour_end
            OFFSET 0
        ) AS rollup
""",
)


def _number(null: bool = True) -> models.DecimalField:
    return models.DecimalField(decimal_places=0, max_digits=30, null=null)


class Migration(migrations.Migration):
    dependencies = [
        ("metering", "0007_signature_base"),
    ]

    operations = [
        migrations.CreateModel(
            name="DayRollup",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "tenant",
                        "application",
                        "bucket_start",
                        "role",
                        "measurements",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("bucket_start", models.DateTimeField(help_text="The start of the day.")),
                (
                    "role",
                    models.TextField(
                        choices=[
                            ("primary", "Primary"),
                            ("replica", "Replica"),
                            ("standby", "Standby"),
                        ]
                    ),
                ),
                (
                    "measurements",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.UUIDField(null=True),
                        help_text="Those of each of its hours.",
                        size=None,
                    ),
                ),
                ("window_us", _number(null=False)),
                ("covered_us", _number(null=False)),
                ("more", models.JSONField(null=True)),
                *[(name, _number()) for name in QUANTITIES],
            ],
            options={
                "db_table": "metering_dayrollup",
                "managed": False,
            },
        ),
        migrations.RunSQL(TABLE, "DROP TABLE metering_dayrollup"),
        migrations.RunSQL(close_statements("metering_dayrollup"), migrations.RunSQL.noop),
        migrations.RunSQL(COMBINED_MORE, "DROP FUNCTION metering_combined_more"),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.RunSQL(FOLLOW, "DROP FUNCTION metering_keep_days CASCADE"),
        migrations.RunSQL(HOURS_BY_KEY, _USAGE.FOLLOW),
    ]
