"""Views translate a request, ask one query and render; they compute nothing."""
