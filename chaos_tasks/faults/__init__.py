"""One folder per family of faults; families do not know each other."""
