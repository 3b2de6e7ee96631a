"""What every host measures: processes and their applications, windows, and how well."""
