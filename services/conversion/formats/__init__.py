"""One module a format, found by registration. See services/conversion/format.py."""
