"""One run as a signed statement: what an auditor files, and what a model gate reads."""
