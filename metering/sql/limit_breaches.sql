-- What was over a limit in [start, end): of each application on each host that a limit holds for,
-- and of its users on all hosts together (without a host). What is compared is that of
-- limit_use.sql. Each host has the limits of the version that it goes by, from `since` on.
WITH held AS (
    SELECT *
    FROM unnest(
        %(hosts)s::uuid[], %(since)s::timestamptz[], %(cpu_millicores)s::bigint[],
        %(memory_bytes)s::bigint[], %(processes_max)s::bigint[], %(open_files_max)s::bigint[]
    ) AS host (host_id, since, cpu_millicores, memory_bytes, processes_max, open_files_max)
),
bucket AS (
    SELECT
        r.application_id,
        i.host_id,
        r.bucket_start,
        sum(r.cpu_time) AS cpu,
        sum(r.memory_used) AS memory,
        sum(r.memory_used_max) AS memory_max,
        sum(r.processes) AS processes,
        sum(r.processes_max) AS processes_most,
        sum(r.files_open) AS files,
        sum(r.files_open_max) AS files_max,
        sum(r.users_concurrent) AS users,
        sum(r.users_concurrent_max) AS users_most
    FROM metering_rollup AS r
    JOIN metering_instance AS i ON i.tenant_id = r.tenant_id AND i.id = r.instance_id
    WHERE r.application_id = ANY (%(applications)s)
        AND r.bucket_start >= %(start)s
        AND r.bucket_start < %(end)s
        AND i.host_id IS NOT NULL
    GROUP BY r.application_id, i.host_id, r.bucket_start
),
users AS (
    SELECT
        application_id,
        bucket_start,
        coalesce(sum(users_most), div(sum(users), 300)) AS judged
    FROM bucket
    WHERE users IS NOT NULL AND bucket_start >= %(users_since)s
    GROUP BY application_id, bucket_start
),
judged AS (
    SELECT b.application_id, b.host_id, b.bucket_start, each.term, each.judged
    FROM bucket AS b
    JOIN held AS h ON h.host_id = b.host_id AND b.bucket_start >= h.since
    CROSS JOIN LATERAL (
        VALUES
            ('cpu_millicores', div(b.cpu, 300000), h.cpu_millicores),
            (
                'memory_bytes',
                CASE WHEN b.memory IS NOT NULL
                    THEN coalesce(b.memory_max, div(b.memory, 300)) END,
                h.memory_bytes
            ),
            (
                'processes_max',
                CASE WHEN b.processes IS NOT NULL
                    THEN coalesce(b.processes_most, div(b.processes, 300)) END,
                h.processes_max
            ),
            (
                'open_files_max',
                CASE WHEN b.files IS NOT NULL
                    THEN coalesce(b.files_max, div(b.files, 300)) END,
                h.open_files_max
            )
    ) AS each (term, judged, most)
    WHERE each.judged > each.most
    UNION ALL
    SELECT application_id, NULL, bucket_start, 'users_max', judged
    FROM users
    WHERE judged > %(users_max)s
)
SELECT
    application_id,
    host_id,
    term,
    max(judged)::bigint,
    count(*),
    min(bucket_start),
    max(bucket_start)
FROM judged
GROUP BY application_id, host_id, term
