"""Runs trials: renders their commands, and supervises them in a process of its own."""
