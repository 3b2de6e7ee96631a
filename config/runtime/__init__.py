"""What `manage.py up`, `test`, `status` and `stop` do: embedded servers and our own supervisor."""
