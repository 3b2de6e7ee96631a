-- The samples behind some applications' usage, for each UTC hour as one digest of the lines that
-- core proof/samples.py writes, in order. A sample belongs to the bucket that its window starts in; what was
-- not there at the cut is left out.
WITH period AS MATERIALIZED (
    SELECT application_id AS owner, starts, ends
    FROM unnest(
        %(applications)s::uuid[], %(starts)s::timestamptz[], %(ends)s::timestamptz[]
    ) AS period (application_id, starts, ends)
),
line AS (
    SELECT
        sample.application_id,
        date_trunc('hour', sample.window_start, 'UTC') AS hour,
        concat_ws(
            ' ',
            batch.host_id,
            batch.epoch,
            batch.sequence,
            sample.batch_index,
            sample.application_id,
            sample.instance_id,
            sample.role,
            (extract(epoch FROM sample.window_start) * 1000000)::bigint,
            (extract(epoch FROM sample.window_end) * 1000000)::bigint,
            sample.coverage_ppm,
            coalesce(sample.measurement_id::text, '-'),
            CASE WHEN sample.more IS NULL THEN built_in.written ELSE (
                SELECT coalesce(string_agg(meter, ',' ORDER BY meter COLLATE "C"), '')
                FROM (
                    SELECT unnest(string_to_array(built_in.written, ',')) AS meter
                    UNION ALL
                    SELECT key || '=' || value FROM jsonb_each_text(sample.more)
                ) AS every
            ) END
        ) AS written
    FROM metering_sample AS sample
    JOIN metering_samplebatch AS batch ON batch.id = sample.batch_id
    JOIN period ON owner = sample.application_id
        AND date_bin('5 minutes', sample.window_start, '2000-01-01 00:00:00+00') >= starts
        AND date_bin('5 minutes', sample.window_start, '2000-01-01 00:00:00+00') < ends,
    LATERAL (
        SELECT concat_ws(
            ',',
            'cpu.time=' || sample.cpu_time,
            'disk.read=' || sample.disk_read,
            'disk.written=' || sample.disk_written,
            'file.read=' || sample.file_read,
            'file.written=' || sample.file_written,
            'files.open.max=' || sample.files_open_max,
            'files.open=' || sample.files_open,
            'launches=' || sample.launches,
            'memory.used.max=' || sample.memory_used_max,
            'memory.used=' || sample.memory_used,
            'network.received=' || sample.network_received,
            'network.sent=' || sample.network_sent,
            'processes.max=' || sample.processes_max,
            'processes=' || sample.processes,
            'resources.open.device=' || sample.resources_open_device,
            'resources.open.file=' || sample.resources_open_file,
            'resources.open.max=' || sample.resources_open_max,
            'resources.open.other=' || sample.resources_open_other,
            'resources.open.pipe=' || sample.resources_open_pipe,
            'resources.open.socket=' || sample.resources_open_socket,
            'resources.open=' || sample.resources_open,
            'resources.opened.device=' || sample.resources_opened_device,
            'resources.opened.file=' || sample.resources_opened_file,
            'resources.opened.other=' || sample.resources_opened_other,
            'resources.opened.pipe=' || sample.resources_opened_pipe,
            'resources.opened.socket=' || sample.resources_opened_socket,
            'resources.opened=' || sample.resources_opened,
            'threads.max=' || sample.threads_max,
            'threads=' || sample.threads,
            'transactions=' || sample.transactions,
            'users.concurrent.max=' || sample.users_concurrent_max,
            'users.concurrent=' || sample.users_concurrent
        ) AS written
    ) AS built_in
    WHERE sample.window_start >= %(range_start)s AND sample.window_start < %(range_end)s
        AND metering_is_known(
            batch.stored_in, batch.received_at,
            %(snapshot)s::pg_snapshot, %(own)s::xid8, %(as_of)s::timestamptz
        )
)
SELECT
    application_id,
    hour,
    count(*),
    sha256(convert_to(string_agg(written, E'\n' ORDER BY written COLLATE "C"), 'UTF8'))
FROM line
GROUP BY application_id, hour
ORDER BY application_id, hour
