-- A condition on a rollup: that it lies in an hour of its application and role of which some rollup
-- has one of the profiles, and that the hour has others as well. It is asked of some hours alone.
EXISTS (
    SELECT
    FROM metering_hourrollup AS hour
    WHERE hour.bucket_start = ANY(%s::timestamptz[])
        AND hour.application_id = metering_rollup.application_id
        AND hour.role = metering_rollup.role
        AND hour.bucket_start = date_trunc('hour', metering_rollup.bucket_start, 'UTC')
        AND hour.measurements && %s::uuid[]
        -- No list contains NULL, which stands for usage without a profile.
        AND NOT hour.measurements <@ %s::uuid[]
)
