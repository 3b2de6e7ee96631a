-- A condition on a rollup: that it lies in an hour of its application and role of which some rollup
-- has one of the profiles.
EXISTS (
    SELECT
    FROM metering_hourrollup AS hour
    WHERE hour.application_id = metering_rollup.application_id
        AND hour.role = metering_rollup.role
        AND hour.bucket_start = date_trunc('hour', metering_rollup.bucket_start, 'UTC')
        AND hour.measurements && %s::uuid[]
)
