"""Faults of data versions: a selector chooses rows, a mutator changes columns, a format adapter streams the file."""
