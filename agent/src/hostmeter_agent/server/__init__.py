"""Everything that is said to the server, and what it answers."""
