-- Take marks, up to a number, that no other worker is taking. A mark is gone when, and only when, the
-- transaction that recomputes its bucket commits.
WITH claimed AS (
    DELETE FROM metering_dirtybucket
    WHERE (tenant_id, id) IN (
        SELECT tenant_id, id
        FROM metering_dirtybucket
        ORDER BY id
        LIMIT %(marks)s
        FOR UPDATE SKIP LOCKED
    )
    RETURNING application_id, bucket_start, of_host
)
SELECT application_id, bucket_start, bool_or(of_host) AS of_host
FROM claimed
GROUP BY application_id, bucket_start
ORDER BY bucket_start, application_id
