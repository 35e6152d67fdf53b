"""Five answers about a ledger, each of its own: integrity, authenticity, order, completeness, re-performance."""
