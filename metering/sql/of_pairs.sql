-- A condition on a row with application_id and bucket_start: that it is of one of the pairs.
(application_id, bucket_start) IN (
    SELECT owner, bucket FROM unnest(%s::uuid[], %s::timestamptz[]) AS pair (owner, bucket)
)
