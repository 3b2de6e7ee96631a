"""What `seed_demo` puts into a new installation: two tenants, three customers and 60 days of
usage that says it is generated."""
