"""Files as sources: CSV and JSON lines, plain or gzipped."""
