"""Pages of the console that are no model's own."""
