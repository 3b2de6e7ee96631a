-- Of each application on each host, how near it came to limits; metering/core/limit_use.py says
-- what that is. A measure that is not known of a bucket is NULL in it. Rows without a host are the
-- application's altogether: of users, who may be counted on several hosts.
WITH bucket AS (
    SELECT
        r.application_id,
        i.host_id,
        r.bucket_start,
        sum(r.cpu_time) AS cpu,
        sum(r.memory_used) AS memory,
        sum(r.memory_used_max) AS memory_max,
        sum(r.processes) AS processes,
        sum(r.processes_max) AS processes_max,
        sum(r.files_open) AS files,
        sum(r.files_open_max) AS files_max,
        sum(r.users_concurrent) AS users,
        sum(r.users_concurrent_max) AS users_max
    FROM metering_rollup AS r
    JOIN metering_instance AS i ON i.tenant_id = r.tenant_id AND i.id = r.instance_id
    WHERE r.application_id = ANY (%(applications)s)
        AND r.bucket_start >= %(start)s
        AND r.bucket_start < %(end)s
        AND i.host_id IS NOT NULL
    GROUP BY r.application_id, i.host_id, r.bucket_start
),
judged AS (
    SELECT
        application_id,
        host_id,
        cpu,
        div(cpu, 300000) AS cpu_judged,
        memory,
        CASE WHEN memory IS NOT NULL THEN coalesce(memory_max, div(memory, 300)) END
            AS memory_judged,
        processes,
        CASE WHEN processes IS NOT NULL THEN coalesce(processes_max, div(processes, 300)) END
            AS processes_judged,
        files,
        CASE WHEN files IS NOT NULL THEN coalesce(files_max, div(files, 300)) END AS files_judged,
        NULL::numeric AS users,
        NULL::numeric AS users_judged
    FROM bucket
    UNION ALL
    SELECT
        application_id,
        NULL,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        sum(users),
        coalesce(sum(users_max), div(sum(users), 300))
    FROM bucket
    WHERE users IS NOT NULL
    GROUP BY application_id, bucket_start
)
SELECT
    application_id,
    host_id,
    max(cpu_judged),
    div(div(sum(cpu), 300000), nullif(count(cpu), 0)),
    count(cpu),
    count(*) FILTER (WHERE cpu_judged > %(cpu_millicores)s),
    max(memory_judged),
    div(div(sum(memory), 300), nullif(count(memory), 0)),
    count(memory),
    count(*) FILTER (WHERE memory_judged > %(memory_bytes)s),
    max(processes_judged),
    div(div(sum(processes), 300), nullif(count(processes), 0)),
    count(processes),
    count(*) FILTER (WHERE processes_judged > %(processes_max)s),
    max(files_judged),
    div(div(sum(files), 300), nullif(count(files), 0)),
    count(files),
    count(*) FILTER (WHERE files_judged > %(open_files_max)s),
    max(users_judged),
    div(div(sum(users), 300), nullif(count(users), 0)),
    count(users),
    count(*) FILTER (WHERE users_judged > %(users_max)s)
FROM judged
GROUP BY application_id, host_id
