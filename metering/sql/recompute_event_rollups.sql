-- Compute the rollups of some (application, bucket) pairs that come from events anew; whoever calls
-- this has deleted the old ones. What such a rollup is stands in core/aggregation.py. Built-in meters
-- (`names`) have a column each, of the same name with underscores.
INSERT INTO metering_rollup
SELECT (jsonb_populate_record(
    NULL::metering_rollup,
    jsonb_build_object(
        'tenant_id', (SELECT hostmeter_tenant()),
        'application_id', application_id,
        'bucket_start', bucket_start,
        'instance_id', instance_id,
        'role', 'primary',
        'samples', sum(events),
        'window_us', 0,
        'covered_us', 0,
        'measurements', ARRAY[NULL]::uuid[],
        'more', jsonb_object_agg(meter, quantity) FILTER (WHERE NOT is_built_in)
    ) || coalesce(
        jsonb_object_agg(replace(meter, '.', '_'), quantity) FILTER (WHERE is_built_in), '{}'
    )
)).*
FROM (
    SELECT
        application_id, bucket_start, instance_id, meter,
        meter = ANY (%(names)s::text[]) AS is_built_in,
        count(*) AS events,
        CASE WHEN right(meter, 4) = '.max' THEN max(quantity)::numeric ELSE sum(quantity) END
            AS quantity
    FROM metering_event
    JOIN unnest(%(applications)s::uuid[], %(buckets)s::timestamptz[])
        AS dirty (application_id, bucket_start) USING (application_id, bucket_start)
    GROUP BY application_id, bucket_start, instance_id, meter
) AS by_meter
GROUP BY application_id, bucket_start, instance_id
