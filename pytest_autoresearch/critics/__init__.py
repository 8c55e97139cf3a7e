"""Where ideas come from; one module per kind of critic."""
