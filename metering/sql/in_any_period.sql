-- A condition on a row of {table} with application_id and bucket_start: that its bucket starts in one of its
-- application's periods. One hashed look-up a row, where a condition for each period would be tried
-- one after the other.
EXISTS (
    SELECT
    FROM unnest(%s::uuid[], %s::timestamptz[], %s::timestamptz[]) AS period (owner, starts, ends)
    WHERE owner = {table}.application_id
        AND {table}.bucket_start >= starts AND {table}.bucket_start < ends
)
