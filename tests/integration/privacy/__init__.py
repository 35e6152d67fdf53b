"""What must not be in a record, a log or a report, and what must be gone after a verdict."""
