"""Probes read one number or state from a trial; they never judge."""
