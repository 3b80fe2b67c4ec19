"""Ratios, measured in one run: the suite against the floors that DESIGN.md names, and against its peers."""
