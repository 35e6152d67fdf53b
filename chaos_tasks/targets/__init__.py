"""One adapter per kind of place that can be hurt."""
