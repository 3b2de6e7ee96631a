-- What this statement sees, in PostgreSQL's own words, and whether all usage of some applications'
-- periods that it sees is in rollups: all of it from one snapshot.
SELECT
    NOT EXISTS (
        SELECT
        FROM metering_dirtybucket
        JOIN unnest(%(applications)s::uuid[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
            AS period (application_id, starts, ends) USING (application_id)
        WHERE bucket_start >= starts AND bucket_start < ends
    ),
    pg_current_snapshot()::text,
    pg_current_xact_id()::text,
    clock_timestamp()
