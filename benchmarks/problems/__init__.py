"""Problems of which the best is known: what a search is measured on."""
