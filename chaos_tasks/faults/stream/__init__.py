"""Faults on the records of a stream, one file each."""
