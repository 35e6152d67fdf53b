"""File formats as streams of column batches that can be rewritten."""
