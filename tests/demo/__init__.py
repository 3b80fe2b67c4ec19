"""The main job shown and checked, by the commands a user would type: `make demo`, or `make demo DATA=path`."""
