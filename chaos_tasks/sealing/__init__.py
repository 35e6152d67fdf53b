"""The log's head, signed and kept where the owner of the database cannot reach; proofs of single records."""
