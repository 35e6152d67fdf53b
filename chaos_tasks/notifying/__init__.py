"""Telling people what they have to act on; what cannot be told is on record and changes nothing else."""
