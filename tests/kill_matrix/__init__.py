"""The kill matrix: every registered fault, its run killed at every point, and what the next sweep makes of it."""
