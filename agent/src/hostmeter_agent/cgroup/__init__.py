"""Control groups: whose they are, what they count, and giving applications one of their own."""
