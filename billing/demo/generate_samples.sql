-- Writes one sample for each generated instance and 5-minute bucket in [start, end), in one batch
-- for each host and UTC day. Integers only, and the same
-- for the same keys and times: a daily curve, quiet weekends, growth of 2 percent a week and some noise.
-- Usage of a load is given for a 5-minute bucket at full load, its noise key is a stable name.
WITH load AS (
    SELECT *
    FROM jsonb_to_recordset(%(loads)s) AS l (
        key text, host uuid, application uuid, instance uuid, role text,
        cpu_ms bigint, memory_mb bigint, processes bigint, files bigint,
        written_kb bigint, read_kb bigint, launches bigint)
), bucket AS (
    SELECT starts_at,
        floor(extract(epoch FROM starts_at - %(start)s) / 86400)::bigint + 1 AS day,
        (ARRAY[18,14,12,11,12,16,26,42,62,78,88,94,90,92,96,100,98,92,84,76,66,52,38,26])
            [extract(hour FROM starts_at AT TIME ZONE 'UTC')::int + 1]
        * CASE WHEN extract(isodow FROM starts_at AT TIME ZONE 'UTC') > 5 THEN 60 ELSE 100 END
        * (100 + 2 * floor(extract(epoch FROM starts_at - %(start)s) / 604800)::bigint) AS ppm
    FROM generate_series(%(start)s, %(end)s - interval '5 minutes', interval '5 minutes') AS starts_at
), noisy AS (
    SELECT load.*, bucket.starts_at, bucket.day, bucket.ppm,
        ('x' || substr(md5(load.key || extract(epoch FROM bucket.starts_at)::bigint), 1, 6))
            ::bit(24)::bigint AS noise,
        row_number() OVER (PARTITION BY load.host, bucket.day
                           ORDER BY bucket.starts_at, load.key) - 1 AS batch_index
    FROM bucket CROSS JOIN load
), measured AS MATERIALIZED (
    SELECT noisy.*,
        cpu_ms * 1000 * ppm / 1000000 * (85 + noise %% 31) / 100 AS cpu_time,
        memory_mb * 1000000 * (92 + noise / 31 %% 13) / 100 AS memory,
        written_kb * 1000 * ppm / 1000000 * (70 + noise / 403 %% 61) / 100 AS written,
        read_kb * 1000 * ppm / 1000000 * (70 + noise / 24583 %% 61) / 100 AS read
    FROM noisy
), batch AS (
    INSERT INTO metering_samplebatch (
        id, tenant_id, host_id, epoch, sequence, digest, samples,
        key_id, signature_input, signature, content_digest, sent_at, received_at)
    SELECT gen_random_uuid(), hostmeter_tenant(), host, md5('epoch' || host)::uuid, day,
        -- No body was sent, so what was generated stands in for it.
        sha256(convert_to(string_agg(
            concat_ws(' ', key, starts_at, cpu_time, memory, written, read), E'\n'
            ORDER BY batch_index), 'UTF8')),
        count(*), 'generated', '', '', '',
        max(starts_at) + interval '5 minutes', max(starts_at) + interval '5 minutes'
    FROM measured
    GROUP BY host, day
    RETURNING id, host_id, sequence
)
INSERT INTO metering_sample (
    tenant_id, application_id, instance_id, batch_id, window_start, window_end,
    coverage_ppm, batch_index, role, cpu_time, memory_used, memory_used_max,
    processes, processes_max, threads, threads_max, files_open, files_open_max,
    resources_open, resources_open_max, resources_open_file, resources_open_socket,
    launches, file_read, file_written, disk_read, disk_written, measurement_id)
SELECT hostmeter_tenant(), application, instance, batch.id,
    starts_at, starts_at + interval '5 minutes', 1000000, batch_index, role,
    cpu_time, memory * 300, memory * 11 / 10,
    processes * 300, processes, processes * 4 * 300, processes * 4, files * 300, files,
    files * 2 * 300, files * 2, files * 300, files * 300,
    launches * (noise %% 2), read * 5, written * 2, read, written, %(measurement)s
FROM measured
JOIN batch ON batch.host_id = measured.host AND batch.sequence = measured.day
