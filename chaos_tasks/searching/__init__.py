"""Searches: whole, honest runs of the engine, one after the other, until what is asked for is found."""
