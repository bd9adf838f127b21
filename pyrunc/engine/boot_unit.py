"""How does `system boot` run when the machine starts?  By a unit of systemd's, written here."""

from __future__ import annotations

import os

from ..errors import PyruncError, Unsupported
from ..kernel import spawn
from ..paths import DEFAULT_ROOT
from ..storage.atomic import make_directory, replace_file
from .own_command import own_command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .engine import Engine

UNITS = "/etc/systemd/system"
_SYSTEMCTL = ("/usr/bin/systemctl", "/bin/systemctl")
_SECONDS = 60.0


def install(engine: Engine, tell: Callable[[str], object]) -> None:
    """Write the unit and have systemd run it at every boot; `tell` hears of each act.  Idempotent.

    Raises: Unsupported without systemd; PyruncError with what systemctl says; OSError.
    """
    systemctl = _systemctl()
    name = unit_name(engine)
    path = f"{UNITS}/{name}"
    replace_file(path, unit_text(engine).encode(), durable=True, mode=0o644)
    tell(f"wrote {path}")
    _run(systemctl, "daemon-reload")
    _run(systemctl, "enable", name)
    _begin(engine, systemctl, name)
    tell(f"enabled {name}: containers are stopped at shutdown, and come back at the next boot")


def _begin(engine: Engine, systemctl: str, name: str) -> None:
    """Have systemd count the unit as started, so that there is something to stop at shutdown.

    What comes back at a boot does not now: that was long ago.
    """
    make_directory(engine.paths.runroot)
    replace_file(engine.paths.begun(), b"", durable=False)
    try:
        _run(systemctl, "start", name)
    finally:
        if os.path.lexists(engine.paths.begun()):  # it was started before
            os.unlink(engine.paths.begun())


def uninstall(engine: Engine, tell: Callable[[str], object]) -> None:
    """Take the unit away; containers that run go on.  Idempotent.  Raises: as `install`."""
    systemctl = _systemctl()
    name = unit_name(engine)
    path = f"{UNITS}/{name}"
    if not os.path.lexists(path):
        tell(f"{path} is not there")
        return
    _run(systemctl, "disable", name)
    tell(f"disabled {name}")
    os.unlink(path)
    tell(f"removed {path}")
    _run(systemctl, "daemon-reload")


def unit_name(engine: Engine) -> str:
    """Return pyrunc-boot.service, or one with the root in it where that is not the usual one."""
    if engine.paths.root == DEFAULT_ROOT:
        return "pyrunc-boot.service"
    escaped = "".join(
        c if c.isascii() and (c.isalnum() or c in "_.") else "-" for c in engine.paths.root
    )
    return f"pyrunc-boot{escaped}.service"


def unit_text(engine: Engine) -> str:
    """Return the unit.

    The starts leave monitors behind, in cgroups of their own, which nothing but `system shutdown`
    ends.  That has its own limits of time, and is run whether or not each start went well ("-").
    Source: systemd.service(5), systemd.unit(5).
    """
    boot = " ".join(_quoted(word) for word in own_command(engine, "system", "boot"))
    shutdown = " ".join(_quoted(word) for word in own_command(engine, "system", "shutdown"))
    return f"""# Written by `pyrunc system boot --install`; `--uninstall` takes it away.
[Unit]
Description=Containers of pyrunc that come back by themselves
Wants=network-online.target
After=network-online.target local-fs.target
RequiresMountsFor={_quoted(engine.paths.root)}

[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=infinity
TimeoutStopSec=infinity
ExecStart=-{boot}
ExecStop=-{shutdown}

[Install]
WantedBy=multi-user.target
"""


def _quoted(word: str) -> str:
    """Quote for a unit.  Source: systemd.syntax(7) and systemd.service(5), "Command lines"."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return '"' + escaped.replace("%", "%%").replace("$", "$$") + '"'


def _systemctl() -> str:
    """Return the program.  Source: sd_booted(3)."""
    found = next((path for path in _SYSTEMCTL if os.access(path, os.X_OK)), None)
    if found is None or not os.path.isdir("/run/systemd/system"):
        raise Unsupported(
            "cannot install a unit for the boot: systemd does not run here",
            feature="system boot --install",
            hint="have your own init run `pyrunc system boot` when the network is up",
        )
    return found


def _run(systemctl: str, *words: str) -> None:
    done = spawn.run((systemctl, "--quiet", *words), timeout_seconds=_SECONDS)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().replace("\n", "; ")
        raise PyruncError(f"cannot run systemctl {' '.join(words)}: {said}", subject=words[-1])
