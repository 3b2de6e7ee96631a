import uuid
from importlib import import_module

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

import tenants.scope
from tenants.isolation import IsolateTable, close_statements

_DAYS = import_module("metering.migrations.0008_day_rollups")
_HOURS = import_module("metering.migrations.0002_hour_rollups")

KEY = ("tenant_id", "time_zone", "application_id", "bucket_start", "role", "measurements")

TABLE = f"""
CREATE TABLE metering_localday (
    tenant_id uuid NOT NULL,
    time_zone text NOT NULL,
    application_id uuid NOT NULL,
    bucket_start timestamptz NOT NULL,
    role text NOT NULL,
    measurements uuid[] NOT NULL,
    window_us numeric NOT NULL,
    covered_us numeric NOT NULL,
    {", ".join(f"{name} numeric" for name in _DAYS.QUANTITIES)},
    more jsonb,
    PRIMARY KEY ({", ".join(KEY)})
)
-- Room to write the running day anew, again and again, on its own page.
WITH (fillfactor = 90);
"""

# What the local days of some hours (`chosen`) are.
DAYS_OF = f"""
INSERT INTO metering_localday ({", ".join((*KEY, *_DAYS.COLUMNS))})
SELECT
    tenant_id, time_zone, application_id, day, role, measurements,
    sum(window_us), sum(covered_us),
    {", ".join(f"sum({name})" for name in _HOURS.SUMS)},
    {", ".join(f"max({name})" for name in _HOURS.MAXIMA)},
    metering_combined_more(jsonb_agg(more) FILTER (WHERE more IS NOT NULL))
FROM chosen
GROUP BY tenant_id, time_zone, application_id, day, role, measurements
"""  # noqa: S608  the names above

# Half a day after a day of 23 to 25 hours, it is the next one.
DIRTY = """dirty AS MATERIALIZED (
        SELECT
            tenant_id, time_zone, application_id, day,
            date_trunc('day', day + interval '36 hours', time_zone) AS day_end
        FROM (
            SELECT DISTINCT
                touched.tenant_id, kept.time_zone, touched.application_id,
                date_trunc('day', touched.bucket_start, kept.time_zone) AS day
            FROM touched
            CROSS JOIN LATERAL (
                SELECT time_zone FROM metering_dayzone
                WHERE tenant_id = touched.tenant_id
                OFFSET 0
            ) AS kept
        ) AS days
    )"""

# As the days of UTC follow (0008), for the zones whose days a tenant keeps.
FOLLOW = f"""
CREATE FUNCTION metering_keep_local_days() RETURNS trigger LANGUAGE plpgsql
SET enable_nestloop = on SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_seqscan = off AS $$
DECLARE left_behind boolean;
BEGIN
    -- Most tenants that have any zone have one; those of UTC have none.
    IF NOT EXISTS (SELECT FROM metering_dayzone) OR NOT EXISTS (SELECT FROM touched) THEN
        RETURN NULL;
    END IF;
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
        DELETE FROM metering_localday
        WHERE ctid = ANY (ARRAY(
            SELECT stale.ctid
            FROM dirty
            CROSS JOIN LATERAL (
                SELECT day.ctid
                FROM metering_localday AS day
                WHERE day.tenant_id = dirty.tenant_id
                    AND day.time_zone = dirty.time_zone
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
        SELECT hour.*, dirty.time_zone, dirty.day
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
        {", ".join(f"{name} = excluded.{name}" for name in _DAYS.COLUMNS)};
    RETURN NULL;
END $$;
CREATE TRIGGER local_days_follow_insert AFTER INSERT ON metering_hourrollup
    REFERENCING NEW TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION metering_keep_local_days();
CREATE TRIGGER local_days_follow_update AFTER UPDATE ON metering_hourrollup
    REFERENCING OLD TABLE AS before NEW TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION metering_keep_local_days();
CREATE TRIGGER local_days_follow_delete AFTER DELETE ON metering_hourrollup
    REFERENCING OLD TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION metering_keep_local_days();
"""  # noqa: S608

# All of one application's days of a zone, anew.
FILL = f"""
CREATE FUNCTION metering_fill_local_days(tenant uuid, application uuid, zone text) RETURNS void
LANGUAGE sql AS $$
    DELETE FROM metering_localday
    WHERE tenant_id = tenant AND time_zone = zone AND application_id = application;
    WITH chosen AS NOT MATERIALIZED (
        SELECT *, zone AS time_zone, date_trunc('day', bucket_start, zone) AS day
        FROM metering_hourrollup
        WHERE tenant_id = tenant AND application_id = application
    )
    {DAYS_OF};
$$;
"""  # noqa: S608


class Migration(migrations.Migration):
    """Days of usage in the time zones of a tenant's customers."""

    dependencies = [
        ("metering", "0017_breaches_over_midnight"),
    ]

    operations = [
        migrations.CreateModel(
            name="DayZone",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("time_zone", models.CharField(max_length=64)),
                (
                    "filled_to",
                    models.UUIDField(
                        help_text="The last application, by id, whose days are all there.",
                        null=True,
                    ),
                ),
                (
                    "ready",
                    models.BooleanField(
                        default=False, help_text="Whether every application's days are all there."
                    ),
                ),
                (
                    "left_at",
                    models.DateTimeField(
                        help_text="Since when nobody is to read it: it ends some minutes later.",
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
                    models.UniqueConstraint(fields=("tenant", "time_zone"), name="day_zone_once")
                ],
            },
        ),
        IsolateTable("DayZone"),
        migrations.CreateModel(
            name="LocalDay",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "tenant",
                        "time_zone",
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
                ("time_zone", models.TextField()),
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
                ("window_us", _DAYS._number(null=False)),
                ("covered_us", _DAYS._number(null=False)),
                ("more", models.JSONField(null=True)),
                *[(name, _DAYS._number()) for name in _DAYS.QUANTITIES],
            ],
            options={
                "db_table": "metering_localday",
                "managed": False,
            },
        ),
        migrations.RunSQL(TABLE, "DROP TABLE metering_localday"),
        migrations.RunSQL(close_statements("metering_localday"), migrations.RunSQL.noop),
        migrations.RunSQL(FOLLOW, "DROP FUNCTION metering_keep_local_days CASCADE"),
        migrations.RunSQL(FILL, "DROP FUNCTION metering_fill_local_days"),
    ]
