"""Observations and tolerances to a verdict; no input or output."""
