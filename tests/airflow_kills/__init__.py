"""What people and accidents do to a run under the real scheduler while its faults are in, and what comes of it."""
