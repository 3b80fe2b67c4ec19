"""One file a change of the catalogue's tables, in order."""
