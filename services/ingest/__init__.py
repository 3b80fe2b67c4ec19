"""Ingest: the catalogue, uploads, and the import job."""
