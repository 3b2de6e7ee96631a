-- A condition on a row with application_id and bucket_start: that its bucket starts in one of its
-- application's periods. One hashed look-up a row, where a condition for each period would be tried
-- one after the other.
EXISTS (
    SELECT
    FROM unnest(%s::uuid[], %s::timestamptz[], %s::timestamptz[]) AS period (owner, starts, ends)
    WHERE owner = application_id AND bucket_start >= starts AND bucket_start < ends
)
