from django.db import migrations, models

from tenants.isolation import close_statements

SUMS = (
    "cpu_time", "memory_used", "processes", "threads", "files_open", "resources_open",
    "resources_open_file", "resources_open_socket", "resources_open_pipe", "resources_open_device",
    "resources_open_other", "resources_opened", "resources_opened_file",
    "resources_opened_socket", "resources_opened_pipe", "resources_opened_device",
    "resources_opened_other", "launches", "file_read", "file_written", "disk_read", "disk_written",
    "network_received", "network_sent", "transactions", "users_concurrent",
)  # fmt: skip
MAXIMA = (
    "memory_used_max", "processes_max", "threads_max", "files_open_max", "resources_open_max",
    "users_concurrent_max",
)  # fmt: skip
COLUMNS = (*SUMS, *MAXIMA, "more")
COMBINED = ", ".join(
    [f"sum({name}) AS {name}" for name in SUMS] + [f"max({name}) AS {name}" for name in MAXIMA]
)

TABLE = f"""
CREATE TABLE metering_hourrollup (
    tenant_id uuid NOT NULL,
    application_id uuid NOT NULL,
    bucket_start timestamptz NOT NULL,
    role text NOT NULL,
    {", ".join(f"{name} numeric" for name in (*SUMS, *MAXIMA))},
    more jsonb,
    PRIMARY KEY (tenant_id, application_id, bucket_start, role)
)
-- Room to write the running hour anew, again and again, on its own page.
WITH (fillfactor = 90);
"""

# What the hours of some rollups (`chosen`) are.
HOURS_OF = f"""
INSERT INTO metering_hourrollup (
    tenant_id, application_id, bucket_start, role, {", ".join(COLUMNS)}
)
SELECT
    tenant_id, application_id, hour, role, {", ".join((*SUMS, *MAXIMA))},
    (
        SELECT jsonb_object_agg(meter, quantity)
        FROM (
            SELECT
                meter,
                CASE WHEN right(meter, 4) = '.max' THEN max(number::numeric)
                    ELSE sum(number::numeric) END AS quantity
            FROM jsonb_array_elements(every_more) AS rollup (more),
                jsonb_each(rollup.more) AS entry (meter, number)
            GROUP BY meter
        ) AS meters
    )
FROM (
    SELECT
        tenant_id, application_id, hour, role, {COMBINED},
        jsonb_agg(more) FILTER (WHERE more IS NOT NULL) AS every_more
    FROM chosen
    GROUP BY tenant_id, application_id, hour, role
) AS combined
"""  # noqa: S608  the names above

FILL = f"""
WITH chosen AS NOT MATERIALIZED (
    SELECT *, date_trunc('hour', bucket_start, 'UTC') AS hour FROM metering_rollup
)
{HOURS_OF}
"""  # noqa: S608

# Whoever writes rollups, their hours follow in the same statement. The plan is made once a session
# and has to suit a few buckets every few seconds: it reads them by their key and never the table.
FOLLOW = f"""
CREATE FUNCTION metering_keep_hours() RETURNS trigger LANGUAGE plpgsql
SET enable_nestloop = on SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_seqscan = off AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        DELETE FROM metering_hourrollup AS stale
        USING (
            SELECT DISTINCT
                tenant_id, application_id, date_trunc('hour', bucket_start, 'UTC') AS hour
            FROM touched
        ) AS gone
        WHERE stale.tenant_id = gone.tenant_id AND stale.application_id = gone.application_id
            AND stale.bucket_start = gone.hour;
    END IF;
    -- The end is a column: under row-level security no sum could become a bound of the index.
    WITH dirty AS MATERIALIZED (
        SELECT tenant_id, application_id, hour, hour + interval '1 hour' AS hour_end
        FROM (
            SELECT DISTINCT
                tenant_id, application_id, date_trunc('hour', bucket_start, 'UTC') AS hour
            FROM touched
        ) AS hours
    ),
    chosen AS NOT MATERIALIZED (
        SELECT rollup.*, dirty.hour
        FROM dirty
        JOIN metering_rollup AS rollup
            ON rollup.tenant_id = dirty.tenant_id
            AND rollup.application_id = dirty.application_id
            AND rollup.bucket_start >= dirty.hour
            AND rollup.bucket_start < dirty.hour_end
    )
    {HOURS_OF}
    ON CONFLICT (tenant_id, application_id, bucket_start, role) DO UPDATE SET
        {", ".join(f"{name} = excluded.{name}" for name in COLUMNS)};
    RETURN NULL;
END $$;
CREATE TRIGGER hours_follow_insert AFTER INSERT ON metering_rollup
    REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION metering_keep_hours();
CREATE TRIGGER hours_follow_update AFTER UPDATE ON metering_rollup
    REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION metering_keep_hours();
CREATE TRIGGER hours_follow_delete AFTER DELETE ON metering_rollup
    REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION metering_keep_hours();
"""  # noqa: S608


class Migration(migrations.Migration):
    dependencies = [
        ("metering", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="HourRollup",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "tenant",
                        "application",
                        "bucket_start",
                        "role",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("bucket_start", models.DateTimeField(help_text="The start of the hour.")),
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
                ("more", models.JSONField(null=True)),
                ("cpu_time", models.DecimalField(decimal_places=0, max_digits=30, null=True)),
                ("memory_used", models.DecimalField(decimal_places=0, max_digits=30, null=True)),
                (
                    "memory_used_max",
                    models.DecimalField(decimal_places=0, max_digits=30, null=True),
                ),
                ("processes", models.DecimalField(decimal_places=0, max_digits=30, null=True)),
                ("processes_max", models.DecimalField(decimal_places=0, max_digits=30, null=True)),
                ("threads", models.DecimalField(decimal_places=0, max_digits=30, null=True)),
                ("threads_max", models.DecimalField(decimal_places=0, max_digits=30, null=True)),
                ("files_open", models.DecimalField(decimal_places=0, max_digits=30, null=True)),
                ("files_open_max", models.DecimalField(decimal_places=0, max_digits=30, null=True)),
                ("resources_open", models.DecimalField(decimal_places=0, max_digits=30, null=True)),
                (
                    "resources_open_max",
                    models.DecimalField(decimal_places=0, max_digits=30, null=True),
                ),
                (
                    "resources_open_file",
                    models.DecimalField(decimal_places=0, max_digits=30, null=True),
                ),
                (
                    "resources_open_socket",
                    models.DecimalField(decimal_places=0, max_digits=30, null=True),
                ),
                (
                    "resources_open_pipe",
                    models.DecimalField(decimal_places=0, max_digits=30, null=True),
                ),
                (
                    "resources_open_device",
                    models.DecimalField(decimal_places=0, max_digits=30, null=True),
                ),
                (
                    "resources_open_other",
                    models.DecimalField(decimal_places=0, max_digits=30, null=True),
                ),
                (
                    "resources_opened",
                    models.DecimalField(decimal_places=0, max_digits=30, null=True),
                ),
                (
                    "resources_opened_file",
                    models.DecimalField(decimal_places=0, max_digits=30, null=True),
                ),
                (
                    "resources_opened_socket",
                    models.DecimalField(decimal_places=0, max_digits=30, null=True),
                ),
                (
                    "resources_opened_pipe",
                    models.DecimalField(decimal_places=0, max_digits=30, null=True),
                ),
                (
                    "resources_opened_device",
                    models.DecimalField(decimal_places=0, max_digits=30, null=True),
                ),
                (
                    "resources_opened_other",
                    models.DecimalField(decimal_places=0, max_digits=30, null=True),
                ),
                ("launches", models.DecimalField(decimal_places=0, max_digits=30, null=True)),
                ("file_read", models.DecimalField(decimal_places=0, max_digits=30, null=True)),
                ("file_written", models.DecimalField(decimal_places=0, max_digits=30, null=True)),
                ("disk_read", models.DecimalField(decimal_places=0, max_digits=30, null=True)),
                ("disk_written", models.DecimalField(decimal_places=0, max_digits=30, null=True)),
                (
                    "network_received",
                    models.DecimalField(decimal_places=0, max_digits=30, null=True),
                ),
                ("network_sent", models.DecimalField(decimal_places=0, max_digits=30, null=True)),
                ("transactions", models.DecimalField(decimal_places=0, max_digits=30, null=True)),
                (
                    "users_concurrent",
                    models.DecimalField(decimal_places=0, max_digits=30, null=True),
                ),
                (
                    "users_concurrent_max",
                    models.DecimalField(decimal_places=0, max_digits=30, null=True),
                ),
            ],
            options={
                "db_table": "metering_hourrollup",
                "managed": False,
            },
        ),
        migrations.RunSQL(TABLE, "DROP TABLE metering_hourrollup"),
        migrations.RunSQL(close_statements("metering_hourrollup"), migrations.RunSQL.noop),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.RunSQL(FOLLOW, "DROP FUNCTION metering_keep_hours CASCADE"),
    ]
