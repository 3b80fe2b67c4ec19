"""Statistics: what a dataset is made of, in numbers."""
