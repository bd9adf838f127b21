"""Which security module's profile does a container get?  Imported where there is a question."""

from __future__ import annotations

from ..runtime import apparmor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.probe import HostFacts
    from .run_options import RunOptions
    from .trace import Tracer


def choose_profile(options: RunOptions, facts: HostFacts) -> str:
    """Return process.apparmorProfile; "" where there is nothing to say.  Loads nothing.

    Raises: Unsupported for a profile that the user names and this kernel would not apply.
    """
    return apparmor.choose(options.apparmor, options.privileged, facts)


def load_profile(name: str, tracer: Tracer) -> None:
    """Have the kernel know the profile if it is pyrunc's own; others are their owner's business.

    Raises: PyruncError where apparmor_parser refuses.
    """
    try:
        if name != apparmor.default_name() or apparmor.is_loaded(name):
            return
    except OSError:
        return  # securityfs is gone since the container was made: the launch finds out
    from ..runtime.apparmor_loader import load

    with tracer.step("load-apparmor-profile", name):
        load(name)
