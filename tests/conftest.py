"""How examples are drawn everywhere: a busy machine may be slow at it, which is no failure."""

from hypothesis import HealthCheck, settings

settings.register_profile("ottla", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ottla")
