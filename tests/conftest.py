"""What every test may use: the real servers of tests/servers.py, started only when a test asks for one."""

pytest_plugins = ["tests.servers"]
