"""What must be true before, and stay true while, a fault is in."""
