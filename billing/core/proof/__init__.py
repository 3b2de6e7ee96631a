"""The proof bundle, as far as the server that writes it and the verifier that reads it agree on it:
pure. docs/proof.md describes the format for whoever wants to write a verifier of their own.

- `archive`: which bytes a bundle is made of.
- `terms`: the values that rating takes, as JSON and back.
- `records`: the lines of the bundle's tables.
- `quantities`: from rollups to what rating is given; the definition that billing.billable's SQL is
  held against.
- `samples`: a sample as the bytes that its hour's digest is taken of.
"""
