"""The Ultralytics tasks and their relatives: data.yaml, label files, NDJSON lines."""
