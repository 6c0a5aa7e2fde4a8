"""What holds for all tests: a busy machine may be slow at drawing examples, and Ctrl-C ends what a test starts.

A shell makes its jobs in the background ignore Ctrl-C, and so would all that the tests start.
"""

import signal

from hypothesis import HealthCheck, settings

settings.register_profile("ottla", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ottla")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
