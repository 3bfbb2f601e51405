"""Settings for the whole suite: hypothesis is deterministic, so that a red run can be repeated."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "genbounds", deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("genbounds")
