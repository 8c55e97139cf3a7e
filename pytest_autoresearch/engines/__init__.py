"""Where the candidates of an iteration are measured."""
