"""MLflow: where people look at runs; a view that can be made again from the ledger, never the evidence."""
