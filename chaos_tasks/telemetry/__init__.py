"""Counters, timers and spans for whoever watches, translated from committed records; nothing here can harm a run."""
