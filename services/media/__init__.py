"""Media: everything that needs an image decoder."""
