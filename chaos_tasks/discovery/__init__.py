"""What a stranger's pipeline is, found without running it: target files and first experiments."""
