"""The canonical model: schema, labels, geometry and masks, all of them columns."""
