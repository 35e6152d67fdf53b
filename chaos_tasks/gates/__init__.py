"""Mutation tests of a pipeline's own gate: which corruption harms the model and still passes, and what stops it."""
