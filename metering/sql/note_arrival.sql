-- After a batch's samples: mark its buckets for the roll-up and note how far the host has come.
WITH marks AS (
    INSERT INTO metering_dirtybucket (tenant_id, application_id, bucket_start)
    SELECT %(tenant_id)s, application_id, bucket_start
    FROM unnest(%(applications)s::uuid[], %(buckets)s::timestamptz[])
        AS mark (application_id, bucket_start)
)
UPDATE metering_host
SET last_seen_at = greatest(last_seen_at, %(received_at)s),
    last_window_end = greatest(last_window_end, %(window_end)s),
    clock_skew_ms = %(clock_skew_ms)s,
    samples_stored = samples_stored + %(samples)s
WHERE id = %(host_id)s
