"""The commands that speak with registries: pull, push, login, logout, search."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ..errors import InvalidInput
from ..oci.reference import parse_full, parse_reference
from . import output
from .commands import Call, Command
from .completion import images as complete_images
from .option_table import FLAG, VALUE

if TYPE_CHECKING:
    from ..engine.progress import Progress
    from ..engine.registry_access import Access
    from .option_table import Row

_HELP: Row = ("help", "", FLAG, "", "", "Show this help")
ACCESS_ROWS: tuple[Row, ...] = (
    ("authfile", "", VALUE, "FILE", "", "Credentials from this file alone"),
    ("cert-dir", "", VALUE, "DIR", "", "CA (*.crt) and client certificates (*.cert, *.key)"),
    ("creds", "", VALUE, "USER:PASSWORD", "", "Credentials for this time"),
    ("retry", "", VALUE, "NUMBER", "", "How often to try again (default 4)"),
    (
        "retry-delay",
        "",
        VALUE,
        "DURATION",
        "",
        "Before that (default 1s, then double)",
    ),
    ("tls-verify", "", FLAG, "", "", "Want TLS with a certificate that is right; =false: neither"),
)
_DAEMON = "docker-daemon:"
_TRANSPORTS = ("oci:", "oci-archive:", "docker-archive:", "dir:", _DAEMON)


def make_access(call: Call, *, insecure: bool = False) -> Access:
    """Return how this command speaks with registries, by its options."""
    from ..engine import registry_access

    verify = call.is_on("tls-verify") if "tls-verify" in call.flags else None
    return registry_access.make_access(
        environment(call),
        output.note,
        pair=call.text("creds"),
        authfile=call.text("authfile"),
        verify=False if insecure else verify,
        certificates=call.text("cert-dir"),
        retries=call.text("retry"),
        delay=call.text("retry-delay"),
    )


def environment(call: Call) -> dict[str, str]:
    """Return the environment, with --config in the place of DOCKER_CONFIG."""
    chosen = dict(os.environ)
    directory = (call.ctx.find_root().obj or {}).get("config")
    if directory:
        chosen["DOCKER_CONFIG"] = str(directory)
    return chosen


def pull(call: Call) -> int:
    """Pull an image, or all tags of a repository."""
    from ..engine import pull as engine_pull

    word = call.operands[0].removeprefix("docker://")
    if word.startswith(_TRANSPORTS):
        return _load(call, word)
    paths, is_quiet = call.engine().paths, call.is_on("quiet")
    progress = _progress(is_quiet)
    platform = call.text("platform")
    if call.is_on("all-tags"):
        access = make_access(call)
        engine_pull.pull_all_tags(paths, word, access, progress, platform=platform)
        output.line(parse_full(word).repository())
        return 0
    reference = parse_full(word)
    if not reference.tag and not reference.digest:
        reference = parse_reference(word)
        if not is_quiet:
            output.line(f"Using default tag: {reference.tag}")
    from ..engine.short_names import pull_by_name

    choose = _choose if os.isatty(0) and os.isatty(1) else None
    pulled = pull_by_name(
        paths, word, make_access(call), progress, platform=platform, choose=choose
    )
    if pulled.remark:
        output.warning(pulled.remark)
    output.line(pulled.name)
    return 0


def _choose(names: list[str]) -> str:
    """Ask which image a short name means; the end of stdin chooses none.

    Raises: InvalidInput.
    """
    lines = [f"  {number}. {output.printable(name)}\n" for number, name in enumerate(names, 1)]
    output.text("".join(lines) + f"Please select an image [1-{len(names)}]: ")
    sys.stdout.flush()
    answer = sys.stdin.readline().strip()
    if answer.isascii() and answer.isdigit() and 1 <= int(answer[:9]) <= len(names):
        return names[int(answer[:9]) - 1]
    raise InvalidInput(
        f"cannot pull: {answer[:64]!r} is none of the numbers", hint="or type a full name"
    )


def push(call: Call) -> int:
    """Push an image, or all tags of a repository."""
    from ..engine import push as engine_push
    from ..engine.push_types import check_form

    word = call.operands[0].removeprefix("docker://")
    is_quiet, paths = call.is_on("quiet"), call.engine().paths
    if len(call.operands) > 1:
        return _save(call, word)
    reference = parse_full(word)
    options = engine_push.PushOptions(
        platform=call.text("platform"),
        form=check_form(call.text("format")),
        allows_foreign=call.is_on("allow-nondistributable-artifacts"),
        tell=(lambda _: None) if is_quiet else output.note,
    )
    if call.is_on("all-tags"):
        if options.platform:
            raise InvalidInput("--platform is for one tag, not --all-tags", where="--platform")
        engine_push.push_all_tags(paths, word, make_access(call), _progress(is_quiet), options)
        if is_quiet:
            output.line(reference.full())
        return 0
    if not reference.tag and not reference.digest and not is_quiet:
        output.line("Using default tag: latest")
    pushed = engine_push.push(paths, word, make_access(call), _progress(is_quiet), options)
    if is_quiet:
        output.line(pushed.name)
    return 0


def _save(call: Call, word: str) -> int:
    """Push to a place that is no registry, as podman does."""
    from ..engine.save import parse_target, save

    place = call.operands[1]
    if call.is_on("all-tags") or not place.startswith(_TRANSPORTS):
        raise call.usage_problem(
            f"cannot push to {place!r}", f"a second name is a place: {', '.join(_TRANSPORTS)}"
        )
    paths, platform = call.engine().paths, call.text("platform")
    if place.startswith(_DAEMON):
        from ..engine.docker_daemon import push_to_daemon

        push_to_daemon(paths, word, place, os.environ, platform=platform)
        return 0
    save(paths, [word], parse_target(place), platform=platform)
    return 0


def _load(call: Call, word: str) -> int:
    from ..engine.load import load

    if call.is_on("all-tags"):
        raise InvalidInput("--all-tags is for registries", where="--all-tags")
    paths, platforms = call.engine().paths, _platforms(call)
    if word.startswith(_DAEMON):
        from ..engine.docker_daemon import pull_from_daemon

        names = pull_from_daemon(paths, word, os.environ, platforms=platforms, tell=output.note)
    else:
        names = load(paths, word, platforms=platforms)
    for name in names:
        output.line(name)
    return 0


def _platforms(call: Call) -> list[str]:
    return [call.text("platform")] if call.text("platform") else []


def _progress(is_quiet: bool) -> Progress:
    from ..engine.progress import Progress

    is_terminal = os.isatty(output.STDOUT) and os.environ.get("TERM", "dumb") != "dumb"
    return Progress(output.line, is_terminal=is_terminal, is_quiet=is_quiet)


PULL = Command(
    "pull",
    pull,
    rows=(
        ("all-tags", "a", FLAG, "", "", "All tags of the repository"),
        ("platform", "", VALUE, "PLATFORM", "", "Of an image for several: linux/arm64 …"),
        ("quiet", "q", FLAG, "", "", "No progress, only the name"),
        *ACCESS_ROWS,
        _HELP,
    ),
    later={"disable-content-trust": ("", FLAG)},
    usage="NAME[:TAG|@DIGEST]",
    counts=(1, 1),
    about="Download an image from a registry; or from oci:DIR, docker-daemon:NAME …\n\n"
    "A name without a host is Docker Hub's.  What was downloaded of a layer stays when the pull "
    "ends early, and the next one goes on from there.",
    complete=complete_images,
)

PUSH = Command(
    "push",
    push,
    rows=(
        ("all-tags", "a", FLAG, "", "", "All tags of the repository"),
        (
            "allow-nondistributable-artifacts",
            "",
            FLAG,
            "",
            "",
            "Also layers that are not to be distributed",
        ),
        ("format", "", VALUE, "FORMAT", "", "Media types of the manifest: docker or oci"),
        ("platform", "", VALUE, "OS/ARCH", "", "The image for that one alone, not the index"),
        ("quiet", "q", FLAG, "", "", "No progress, only the name"),
        *ACCESS_ROWS,
        _HELP,
    ),
    later={"disable-content-trust": ("", FLAG)},
    usage="NAME[:TAG] [PLACE]",
    counts=(1, 2),
    about="Upload an image to a registry, or to oci:DIR, docker-daemon:NAME …\n\n"
    "What was pulled goes out byte by byte as it came.  What the registry has already is not sent; "
    "an upload that broke goes on where it was.",
    complete=complete_images,
)
