"""What every test may use: the real servers of tests/servers.py, started only when a test asks for one."""

from hypothesis import settings

pytest_plugins = ["tests.servers"]

settings.register_profile("squall", deadline=None)  # a busy machine is no defect; tests that measure time say so
settings.load_profile("squall")
