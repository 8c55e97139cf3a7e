"""A session in one file, to go on elsewhere."""
