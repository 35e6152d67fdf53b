"""Reports from ledger records alone: the first screen, HTML, JSON, JUnit XML and Markdown."""
