"""What every operation of /api/v1/ has in common: keys, scopes, limits, errors, pages, repeats.

Resources stand in metering.api and billing.api, webhooks here; config.api puts them together.
"""
