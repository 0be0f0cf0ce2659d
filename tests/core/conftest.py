"""One hypothesis profile for the core: no deadline, because the machine may be shared, and no files left behind."""

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "core",
    deadline=None,
    database=None,
    max_examples=40,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("core")
