-- The batches that brought the samples behind some applications' usage, with how many of these are
-- theirs; see sample_lines.sql.
WITH period AS MATERIALIZED (
    SELECT application_id AS owner, starts, ends
    FROM unnest(
        %(applications)s::uuid[], %(starts)s::timestamptz[], %(ends)s::timestamptz[]
    ) AS period (application_id, starts, ends)
),
used AS (
    SELECT sample.batch_id, count(*) AS used
    FROM metering_sample AS sample
    JOIN metering_samplebatch AS batch ON batch.id = sample.batch_id
    JOIN period ON owner = sample.application_id
        AND date_bin('5 minutes', sample.window_start, '2000-01-01 00:00:00+00') >= starts
        AND date_bin('5 minutes', sample.window_start, '2000-01-01 00:00:00+00') < ends
    WHERE sample.window_start >= %(range_start)s AND sample.window_start < %(range_end)s
        AND metering_is_known(
            batch.stored_in, batch.received_at,
            %(snapshot)s::pg_snapshot, %(own)s::xid8, %(as_of)s::timestamptz
        )
    GROUP BY sample.batch_id
)
SELECT
    batch.host_id, batch.epoch, batch.sequence, batch.samples, used.used, batch.digest,
    batch.key_id, batch.signature_input, batch.signature, batch.content_digest,
    batch.signature_base, batch.received_at
FROM used
JOIN metering_samplebatch AS batch ON batch.id = used.batch_id
ORDER BY batch.host_id, batch.epoch, batch.sequence
