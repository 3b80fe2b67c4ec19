"""Conversion: the formats, between files and the canonical model."""
