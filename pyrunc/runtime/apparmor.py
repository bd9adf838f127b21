"""Which AppArmor profile confines a container?

The one that the user names; else pyrunc's own, default_apparmor.profile beside this file, wherever
this host can apply it.  Hot where the kernel has AppArmor, and not imported anywhere else.
Source: apparmor(7), apparmor.d(5), kernel security/apparmor/apparmorfs.c.
"""

from __future__ import annotations

import os
from _blake2 import blake2b

from ..errors import Unsupported
from ..kernel import capabilities

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.probe import HostFacts

DEFAULT = "pyrunc-default"  # what a user calls it; its full name has a hash of the text
UNCONFINED = "unconfined"
PROFILE = os.path.dirname(__file__) + "/default_apparmor.profile"
PARSERS = ("/sbin/apparmor_parser", "/usr/sbin/apparmor_parser")

_LOADED = "/sys/kernel/security/apparmor/policy/profiles"
_OWN_LABEL = "/proc/self/attr/apparmor/current"


def choose(named: str, privileged: bool, facts: HostFacts) -> str:
    """Return process.apparmorProfile: `named` by the user, or "" for what a container gets anyway.

    "" where this host can't apply the default: `obstacle` has the reason.
    Raises: Unsupported for a profile named by the user that no kernel would apply.
    """
    if not facts.apparmor:
        if named in ("", UNCONFINED):
            return ""
        raise Unsupported(
            f"AppArmor profile {named!r} specified, but AppArmor is not enabled on this system",
            feature="--security-opt apparmor",
            needs="a kernel with AppArmor enabled",
        )
    if named not in ("", DEFAULT):
        return named
    if privileged and not named:
        return "" if _own_confinement() else UNCONFINED
    name = default_name()
    if why := obstacle(name, facts):
        if not named:
            return ""
        raise Unsupported(
            f"AppArmor profile {named!r} specified, but it cannot be applied: {why}",
            feature="--security-opt apparmor",
        )
    return name


def default_name() -> str:
    """Return the full name of the default profile: other text, another name."""
    return f"{DEFAULT}-{blake2b(read_default(), digest_size=4).hexdigest()}"


def read_default() -> bytes:
    """Return the text of the default profile, whose name is yet to be filled in."""
    with open(PROFILE, "rb") as file:
        return file.read()


def obstacle(name: str, facts: HostFacts) -> str:
    """Return why a default profile of this name can't be applied here; "" if it can."""
    if own := _own_confinement():
        return f"this process is confined itself, by {own!r}, and so is what it starts"
    try:
        if is_loaded(name):
            return ""
    except OSError:
        return "securityfs is not mounted on /sys/kernel/security"
    if parser() is None:
        return "apparmor_parser, which would load it, is not installed"
    if facts.user_namespace or not facts.may(capabilities.NUMBERS["CAP_MAC_ADMIN"]):
        return "loading it needs CAP_MAC_ADMIN, which this process does not have"
    return ""


def is_loaded(name: str) -> bool:
    """Tell whether the kernel has this profile.  Raises: OSError where it does not say."""
    return any(entry.rpartition(".")[0] == name for entry in os.listdir(_LOADED))


def parser() -> str | None:
    """Return where apparmor_parser is installed."""
    return next((path for path in PARSERS if os.access(path, os.X_OK)), None)


def _own_confinement() -> str:
    """Return what confines this process, as "profile (enforce)"; "" for nothing.

    Kernel: a profile in the mode "unconfined" is a name and nothing more; Ubuntu has many.
    """
    with open(_OWN_LABEL, encoding="utf-8", errors="surrogateescape") as file:
        label = file.read().strip("\n\0")
    return "" if label == UNCONFINED or label.endswith(f" ({UNCONFINED})") else label
