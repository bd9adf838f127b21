"""How does the kernel come to know the default AppArmor profile?

By apparmor_parser, which compiles its text for this kernel.  It stays until the next boot, so this
is imported by the first container of a boot alone, and by the first after an upgrade.
"""

from __future__ import annotations

from ..errors import PyruncError
from ..kernel import spawn
from . import apparmor

_TIMEOUT_SECONDS = 60.0


def load(name: str) -> None:
    """Load the default profile under its name.  Two at once are fine: both load the same.

    Raises: PyruncError with the parser's words where it refuses.
    """
    program = apparmor.parser()
    if program is None:  # it was there a moment ago
        raise _refused(name, "apparmor_parser is not installed")
    # Source: apparmor_parser(8).  Its cache is keyed by file, and stdin has no file.
    done = spawn.run(
        [program, "--replace", "--skip-cache", "--quiet"],
        stdin=rendered(name),
        timeout_seconds=_TIMEOUT_SECONDS,
    )
    if done.returncode != 0:
        words = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise _refused(name, words[-500:] or f"apparmor_parser exited with {done.returncode}")


def rendered(name: str) -> bytes:
    """Return the profile's text with its name."""
    return apparmor.read_default().replace(b"@NAME@", name.encode())


def _refused(name: str, why: str) -> PyruncError:
    return PyruncError(
        f"cannot load the AppArmor profile {name!r}: {why}",
        subject=name,
        hint="containers without it: --security-opt apparmor=unconfined",
    )
