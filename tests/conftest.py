"""What every test may use: the real servers of tests/servers.py, started only when a test asks for one."""

import signal

from hypothesis import settings

pytest_plugins = ["tests.servers"]

settings.register_profile("squall", deadline=None)  # a busy machine is no defect; tests that measure time say so
settings.register_profile("deep", deadline=None, max_examples=5000)  # --hypothesis-profile deep: fifty times as many
settings.load_profile("squall")

# A shell without job control starts its background jobs with SIGINT ignored, and they would hand that on to the
# commands that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
