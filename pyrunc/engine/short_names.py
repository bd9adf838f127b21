"""Which image does a name without a registry bring, where registries.conf wants to be asked?"""

from __future__ import annotations

from ..errors import InvalidInput, NotFound, PyruncError, RegistryError
from ..image.short_names import DISABLED, ENFORCING, is_short, with_alias
from ..storage import images
from ..storage.atomic import make_directory, replace_file
from ..storage.locks import locked
from .pull import pull

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..image.access import Access
    from ..image.short_names import ShortNames
    from ..oci.image_record import ImageRecord
    from ..paths import Paths
    from .progress import Progress
    from .pull import Pulled

    Choose = Callable[[list[str]], str]


def pull_by_name(
    paths: Paths,
    word: str,
    access: Access,
    progress: Progress,
    *,
    platform: str = "",
    choose: Choose | None = None,
) -> Pulled:
    """As `pull.pull`, of the first image of those that a short name may mean.

    `choose` asks a user who can be asked which it is to be; the answer is kept as an alias.
    Raises: as `pull.pull` for the last; InvalidInput where nobody can be asked and must be.
    """
    names = short_names(paths, access) if is_short(word) else None
    if names is None:
        return pull(paths, word, access, progress, platform=platform)
    candidates = names.candidates(word)
    is_asked = len(candidates) > 1 and names.mode != DISABLED and choose is not None
    if is_asked:
        assert choose is not None
        candidates = [choose(candidates)]
    elif len(candidates) > 1 and names.mode == ENFORCING:
        raise InvalidInput(
            f"short-name {word!r}: short-name resolution enforced but cannot prompt without a TTY",
            subject=word,
            hint=f"say which: {', '.join(candidates)}; or pull it once on a terminal",
        )
    pulled = _first(paths, candidates, access, progress, platform)
    if is_asked:
        _record(paths, word, pulled.name)
    return pulled


def find_by_name(paths: Paths, word: str, access: Access) -> ImageRecord | None:
    """Return the image that a short name means and that is in the store already."""
    names = short_names(paths, access) if is_short(word) else None
    for name in names.candidates(word) if names else ():
        try:
            return images.resolve(paths, name)
        except NotFound:
            continue
    return None


def short_names(paths: Paths, access: Access) -> ShortNames | None:
    """Return how short names are read, None for docker's way.  Raises: InvalidInput."""
    return access.hosts.short_names(paths.short_names())


def _first(
    paths: Paths, candidates: list[str], access: Access, progress: Progress, platform: str
) -> Pulled:
    failures: list[PyruncError] = []
    for name in candidates:
        try:
            return pull(paths, name, access, progress, platform=platform)
        except (RegistryError, NotFound) as error:
            if len(candidates) == 1:
                raise
            failures.append(error)
    said = "".join(f"\n  {name}: {error}" for name, error in zip(candidates, failures, strict=True))
    raise NotFound(
        f"{len(failures)} errors occurred while pulling:{said}", kind="image", name=candidates[0]
    ) from failures[0]


def _record(paths: Paths, word: str, full: str) -> None:
    make_directory(paths.root)
    with locked(f"{paths.locks()}/short-names"):
        replace_file(paths.short_names(), with_alias(paths.short_names(), word, full))
