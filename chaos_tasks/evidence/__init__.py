"""Documents for auditors: what was tested and found, who allowed it, what is open, and how to check all of it."""
