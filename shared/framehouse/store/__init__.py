"""The object store: the bucket, archives and ranges, tables, and the files that pass between the steps of a job."""
