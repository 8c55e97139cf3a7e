"""A branch for review, made of what a session kept."""
