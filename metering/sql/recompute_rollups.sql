-- Compute the rollups of some (application, bucket) pairs anew from their samples. All buckets lie
-- in [range_start, range_end), so that only that stretch of the samples is read. What a rollup is
-- stands in core/aggregation.py.
--
-- Samples are combined in two steps, both by hashing: each row's own key is short, a pair's number
-- in place of the pair; and the list of profiles comes from the few groups of the first step, where
-- every sample's would have to be gathered and sorted.
WITH dirty AS MATERIALIZED (
    SELECT application_id, bucket_start, number
    FROM unnest(%(applications)s::uuid[], %(buckets)s::timestamptz[]) WITH ORDINALITY
        AS pair (application_id, bucket_start, number)
),
window_of AS (
    SELECT
        sample.*,
        date_bin('5 minutes', window_start, '2000-01-01 00:00:00+00') AS bucket_start,
        -- Exact: no window is longer than 300 s, and rounding takes the binary fraction away.
        (date_part('epoch', window_end - window_start) * 1000000)::bigint AS length_us
    FROM metering_sample AS sample
    WHERE window_start >= %(range_start)s AND window_start < %(range_end)s
),
by_profile AS (
    SELECT
        number,
        instance_id,
        role,
        measurement_id,
        count(*) AS samples,
        sum(length_us) AS window_us,
        sum(length_us * coverage_ppm) AS covered_ppm_us,
        sum(cpu_time) AS cpu_time,
        sum(memory_used) AS memory_used,
        max(memory_used_max) AS memory_used_max,
        sum(processes) AS processes,
        max(processes_max) AS processes_max,
        sum(threads) AS threads,
        max(threads_max) AS threads_max,
        sum(files_open) AS files_open,
        max(files_open_max) AS files_open_max,
        sum(resources_open) AS resources_open,
        max(resources_open_max) AS resources_open_max,
        sum(resources_open_file) AS resources_open_file,
        sum(resources_open_socket) AS resources_open_socket,
        sum(resources_open_pipe) AS resources_open_pipe,
        sum(resources_open_device) AS resources_open_device,
        sum(resources_open_other) AS resources_open_other,
        sum(resources_opened) AS resources_opened,
        sum(resources_opened_file) AS resources_opened_file,
        sum(resources_opened_socket) AS resources_opened_socket,
        sum(resources_opened_pipe) AS resources_opened_pipe,
        sum(resources_opened_device) AS resources_opened_device,
        sum(resources_opened_other) AS resources_opened_other,
        sum(launches) AS launches,
        sum(file_read) AS file_read,
        sum(file_written) AS file_written,
        sum(disk_read) AS disk_read,
        sum(disk_written) AS disk_written,
        sum(network_received) AS network_received,
        sum(network_sent) AS network_sent,
        sum(transactions) AS transactions,
        sum(users_concurrent) AS users_concurrent,
        max(users_concurrent_max) AS users_concurrent_max,
        jsonb_agg(more) FILTER (WHERE more IS NOT NULL) AS every_more
    FROM window_of
    JOIN dirty USING (application_id, bucket_start)
    GROUP BY number, instance_id, role, measurement_id
),
combined AS (
    SELECT
        -- That of every row here: no policy shows another's.
        (SELECT hostmeter_tenant()) AS tenant_id,
        application_id,
        bucket_start,
        instance_id,
        role,
        sum(samples) AS samples,
        sum(window_us) AS window_us,
        div(sum(covered_ppm_us), 1000000) AS covered_us,
        sum(cpu_time) AS cpu_time,
        sum(memory_used) AS memory_used,
        max(memory_used_max) AS memory_used_max,
        sum(processes) AS processes,
        max(processes_max) AS processes_max,
        sum(threads) AS threads,
        max(threads_max) AS threads_max,
        sum(files_open) AS files_open,
        max(files_open_max) AS files_open_max,
        sum(resources_open) AS resources_open,
        max(resources_open_max) AS resources_open_max,
        sum(resources_open_file) AS resources_open_file,
        sum(resources_open_socket) AS resources_open_socket,
        sum(resources_open_pipe) AS resources_open_pipe,
        sum(resources_open_device) AS resources_open_device,
        sum(resources_open_other) AS resources_open_other,
        sum(resources_opened) AS resources_opened,
        sum(resources_opened_file) AS resources_opened_file,
        sum(resources_opened_socket) AS resources_opened_socket,
        sum(resources_opened_pipe) AS resources_opened_pipe,
        sum(resources_opened_device) AS resources_opened_device,
        sum(resources_opened_other) AS resources_opened_other,
        sum(launches) AS launches,
        sum(file_read) AS file_read,
        sum(file_written) AS file_written,
        sum(disk_read) AS disk_read,
        sum(disk_written) AS disk_written,
        sum(network_received) AS network_received,
        sum(network_sent) AS network_sent,
        sum(transactions) AS transactions,
        sum(users_concurrent) AS users_concurrent,
        max(users_concurrent_max) AS users_concurrent_max,
        jsonb_agg(every_more) FILTER (WHERE every_more IS NOT NULL) AS every_more,
        array_agg(measurement_id) AS measurements
    FROM by_profile
    JOIN dirty USING (number)
    GROUP BY application_id, bucket_start, instance_id, role
)
INSERT INTO metering_rollup (
    tenant_id, application_id, bucket_start, instance_id, role,
    samples, window_us, covered_us, cpu_time, memory_used, memory_used_max, processes,
    processes_max, threads, threads_max, files_open, files_open_max, resources_open,
    resources_open_max, resources_open_file, resources_open_socket, resources_open_pipe,
    resources_open_device, resources_open_other, resources_opened, resources_opened_file,
    resources_opened_socket, resources_opened_pipe, resources_opened_device,
    resources_opened_other, launches, file_read, file_written, disk_read, disk_written,
    network_received, network_sent, transactions, users_concurrent, users_concurrent_max, more,
    measurements
)
SELECT
    tenant_id, application_id, bucket_start, instance_id, role,
    samples, window_us, covered_us, cpu_time, memory_used, memory_used_max, processes,
    processes_max, threads, threads_max, files_open, files_open_max, resources_open,
    resources_open_max, resources_open_file, resources_open_socket, resources_open_pipe,
    resources_open_device, resources_open_other, resources_opened, resources_opened_file,
    resources_opened_socket, resources_opened_pipe, resources_opened_device,
    resources_opened_other, launches, file_read, file_written, disk_read, disk_written,
    network_received, network_sent, transactions, users_concurrent, users_concurrent_max,
    (
        SELECT jsonb_object_agg(meter, quantity)
        FROM (
            SELECT
                meter,
                CASE WHEN right(meter, 4) = '.max' THEN max(quantity) ELSE sum(quantity) END
                    AS quantity
            FROM jsonb_array_elements(every_more) AS profile (every),
                jsonb_array_elements(every) AS sample (more),
                jsonb_each(sample.more) AS entry (meter, number),
                LATERAL (SELECT entry.number::numeric AS quantity) AS exact
            GROUP BY meter
        ) AS meters
    ) AS more,
    measurements
FROM combined
ON CONFLICT (tenant_id, application_id, bucket_start, instance_id, role) DO UPDATE SET
    samples = excluded.samples,
    window_us = excluded.window_us,
    covered_us = excluded.covered_us,
    cpu_time = excluded.cpu_time,
    memory_used = excluded.memory_used,
    memory_used_max = excluded.memory_used_max,
    processes = excluded.processes,
    processes_max = excluded.processes_max,
    threads = excluded.threads,
    threads_max = excluded.threads_max,
    files_open = excluded.files_open,
    files_open_max = excluded.files_open_max,
    resources_open = excluded.resources_open,
    resources_open_max = excluded.resources_open_max,
    resources_open_file = excluded.resources_open_file,
    resources_open_socket = excluded.resources_open_socket,
    resources_open_pipe = excluded.resources_open_pipe,
    resources_open_device = excluded.resources_open_device,
    resources_open_other = excluded.resources_open_other,
    resources_opened = excluded.resources_opened,
    resources_opened_file = excluded.resources_opened_file,
    resources_opened_socket = excluded.resources_opened_socket,
    resources_opened_pipe = excluded.resources_opened_pipe,
    resources_opened_device = excluded.resources_opened_device,
    resources_opened_other = excluded.resources_opened_other,
    launches = excluded.launches,
    file_read = excluded.file_read,
    file_written = excluded.file_written,
    disk_read = excluded.disk_read,
    disk_written = excluded.disk_written,
    network_received = excluded.network_received,
    network_sent = excluded.network_sent,
    transactions = excluded.transactions,
    users_concurrent = excluded.users_concurrent,
    users_concurrent_max = excluded.users_concurrent_max,
    more = excluded.more,
    measurements = excluded.measurements
