"""Datumaro's JSON files."""
