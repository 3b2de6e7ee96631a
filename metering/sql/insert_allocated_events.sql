-- Post what is allocated, a row for each element of the arrays.
INSERT INTO metering_event (
    id, tenant_id, type, received_at, time, source, event_id, subject, bucket_start,
    application_id, instance_id, meter, quantity, data, digest
)
SELECT
    gen_random_uuid(), (SELECT hostmeter_tenant()), %(type)s, %(received_at)s, bucket_start,
    source, event_id, subject, bucket_start, application_id, instance_id, meter, quantity,
    data::jsonb, digest
FROM unnest(
    %(source)s::text[], %(event_id)s::text[], %(subject)s::text[], %(bucket_start)s::timestamptz[],
    %(application_id)s::uuid[], %(instance_id)s::uuid[], %(meter)s::text[], %(quantity)s::bigint[],
    %(data)s::text[], %(digest)s::bytea[]
) AS posted (
    source, event_id, subject, bucket_start, application_id, instance_id, meter, quantity, data,
    digest
)
