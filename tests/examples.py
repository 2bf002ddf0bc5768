"""How many examples a property is tried with: all of them in `make test`, a tenth where seconds count.

Either way no test fails of a slow machine: hypothesis' own limits of time are off.
"""

from hypothesis import HealthCheck, settings

USUAL = 100
"""Examples of a property that says nothing else."""

settings.register_profile("all", max_examples=USUAL, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fast", settings.get_profile("all"), max_examples=USUAL // 10)
settings.load_profile("all")  # pytest's --hypothesis-profile=fast comes later, and before any test is read


def examples(count: int) -> int:
    """So many of the `count` examples that a property wants for itself as the profile allows."""
    profile = settings.get_profile(settings.get_current_profile_name())
    return max(1, count * profile.max_examples // USUAL)
