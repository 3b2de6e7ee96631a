"""Rules about tenants' affairs as pure functions: no database, no network, no clock."""
