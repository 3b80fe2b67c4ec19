"""The COCO tasks: their files, planned, read in parts and written."""
