-- The buckets of some applications whose rollups hold samples that were not there at the cut.
WITH period AS MATERIALIZED (
    SELECT application_id AS owner, starts, ends
    FROM unnest(
        %(applications)s::uuid[], %(starts)s::timestamptz[], %(ends)s::timestamptz[]
    ) AS period (application_id, starts, ends)
)
SELECT DISTINCT
    sample.application_id,
    date_bin('5 minutes', sample.window_start, '2000-01-01 00:00:00+00') AS bucket_start
FROM metering_sample AS sample
JOIN metering_samplebatch AS batch ON batch.id = sample.batch_id
JOIN period ON owner = sample.application_id
    AND date_bin('5 minutes', sample.window_start, '2000-01-01 00:00:00+00') >= starts
    AND date_bin('5 minutes', sample.window_start, '2000-01-01 00:00:00+00') < ends
WHERE sample.window_start >= %(range_start)s AND sample.window_start < %(range_end)s
    AND NOT metering_is_known(
        batch.stored_in, batch.received_at,
        %(snapshot)s::pg_snapshot, %(own)s::xid8, %(as_of)s::timestamptz
    )
