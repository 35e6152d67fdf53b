"""Faults of a cloud control plane, one file each."""
