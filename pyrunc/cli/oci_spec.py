"""How does one get a first config.json, and learn what may stand in it?"""

from __future__ import annotations

import os
import sys

from ..errors import AlreadyExists, InvalidInput, errno_reason
from ..oci import document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .oci_table import Call


def features(call: Call) -> int:
    """Print what this runtime can do."""
    del call
    from ..runtime.features import features as document_of_features

    sys.stdout.write(document.dump(document_of_features(), indent=4).decode())
    return 0


def spec(call: Call) -> int:
    """Write config.json into the bundle; never over one that is there."""
    from ..runtime.starter_spec import rootless_spec, starter_spec

    is_rootless = "rootless" in call.options
    content = rootless_spec(os.geteuid(), os.getegid()) if is_rootless else starter_spec()
    path = os.path.join(call.options.get("bundle") or ".", "config.json")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o666)
    except FileExistsError as error:
        problem = "File config.json exists. Remove it first"
        raise AlreadyExists(problem, kind="file", name=path) from error
    except OSError as error:
        why = errno_reason(error.errno or 0)
        raise InvalidInput(f"cannot write {path!r}: {why}", subject=path) from error
    try:
        os.write(descriptor, document.dump(content, indent="\t"))
    finally:
        os.close(descriptor)
    return 0
