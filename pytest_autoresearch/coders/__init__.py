"""Who applies an idea that carries no edits."""
