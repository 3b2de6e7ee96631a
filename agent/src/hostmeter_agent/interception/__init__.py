"""What programs count that were started with the intercepting library."""
