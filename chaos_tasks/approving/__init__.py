"""Who allowed what: approvals, permits, standing approvals and incidents, written as records and read from them."""
