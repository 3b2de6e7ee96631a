-- Claim (host, epoch, sequence) for a batch; no row comes back when it is taken already.
INSERT INTO metering_samplebatch (
    id, tenant_id, host_id, epoch, sequence, digest, samples,
    key_id, signature_input, signature, content_digest, signature_base, sent_at, received_at
) VALUES (
    %(id)s, %(tenant_id)s, %(host_id)s, %(epoch)s, %(sequence)s, %(digest)s, %(samples)s,
    %(key_id)s, %(signature_input)s, %(signature)s, %(content_digest)s,
    %(signature_base)s, %(sent_at)s, %(received_at)s
)
ON CONFLICT (tenant_id, host_id, epoch, sequence) DO NOTHING
RETURNING id
