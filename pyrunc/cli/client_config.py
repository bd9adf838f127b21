"""What did the user write into the configuration file of docker's command line?

~/.docker/config.json, or config.json in the directory of --config or DOCKER_CONFIG.
"""

from __future__ import annotations

import os

from ..errors import PyruncError
from ..oci import document
from . import output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .commands import Call

_LIMIT_BYTES = 1 << 20


def text(call: Call, key: str) -> str:
    """Return a text of the configuration, such as psFormat; "" where there is none.

    A file that cannot be read is no reason to fail: it is warned of, as docker does.
    """
    options = call.ctx.find_root().obj or {}
    return value(str(options.get("config") or ""), key)


def detach_keys(directory: str) -> bytes:
    """Return the keys that the configuration chose, docker's if it chose none.

    `directory` is --config, "" if it was not given.

    Raises: InvalidInput for keys that are none.
    """
    from ..engine.detach_keys import parse

    return parse(value(directory, "detachKeys"))


def value(directory: str, key: str) -> str:
    """As `text`; `directory` is --config, "" if it was not given."""
    directory = directory or os.environ.get("DOCKER_CONFIG") or ""
    path = os.path.join(directory or os.path.expanduser("~/.docker"), "config.json")
    try:
        with open(path, "rb") as file:
            found = document.load_object(file.read(_LIMIT_BYTES), path)
    except FileNotFoundError:
        return ""
    except (OSError, PyruncError) as error:
        output.warning(f"Error loading config file: {error}")
        return ""
    chosen = found.get(key)
    return chosen if isinstance(chosen, str) else ""
