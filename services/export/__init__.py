"""Export: datasets become archives that can be fetched."""
