"""Faults on running processes: killed, paused, cut off while they write."""
