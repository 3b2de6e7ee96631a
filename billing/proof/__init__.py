"""The proof bundle of an issued invoice: what it was computed from, signed, to be recomputed by
whoever doubts it (docs/proof.md).

- `bundle.export_proof(invoice, out)`: writes it.
- `keys.proof_key()`: with what the tenant signs; `keys.public_keys()`: what its readers hold it to.
- `verifier.build_verifier()`: the command that reads it, as one file.
"""
