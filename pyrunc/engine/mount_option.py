"""What may a user write behind --mount?

Comma-separated KEY=VALUE, quoted as in CSV files.
Source: docker/cli opts/mount.go; moby volume/mounts, linux_parser.go.
"""

from __future__ import annotations

from ..errors import InvalidInput, PyruncError, Unsupported
from .flag_grammar import invalid_argument
from .go_values import boolean, size_bytes
from .mount_grammar import (
    BindMount,
    TmpfsMount,
    check_volume_name,
    container_path,
    host_path,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Fields = dict[str, str]

_ALIASES = {
    "src": "source", "dst": "target", "destination": "target", "ro": "readonly",
}  # fmt: skip
# key -> the type of mount it belongs to; "" is any
_KEYS = {
    "type": "", "source": "", "target": "", "readonly": "", "consistency": "",
    "bind-propagation": "bind", "bind-recursive": "bind", "bind-nonrecursive": "bind",
    "volume-nocopy": "volume", "volume-label": "volume", "volume-driver": "volume",
    "volume-opt": "volume", "volume-subpath": "volume",
    "tmpfs-size": "tmpfs", "tmpfs-mode": "tmpfs",
}  # fmt: skip
_FLAGS = ("readonly", "volume-nocopy", "bind-nonrecursive")
_LATER = ("volume-subpath",)
_PAIRS = {"volume-label": "label:", "volume-opt": "option:"}
_PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")


def parse_mounts(raw_mounts: Sequence[str]) -> tuple[tuple[BindMount, ...], tuple[TmpfsMount, ...]]:
    """Parse every --mount.  Raises: InvalidInput with docker's words; Unsupported."""
    binds: list[BindMount] = []
    tmpfs: list[TmpfsMount] = []
    for raw in raw_mounts:
        mount = _parse(raw)
        if isinstance(mount, BindMount):
            binds.append(mount)
        else:
            tmpfs.append(mount)
    return tuple(binds), tuple(tmpfs)


def _parse(raw: str) -> BindMount | TmpfsMount:
    fields, pairs = _fields(raw)
    if pairs and fields.get("type", "volume") != "volume":
        kind = fields["type"]
        raise invalid_argument(
            "--mount", raw, f"cannot mix 'volume-*' options with mount type '{kind}'"
        )
    kind = fields.get("type", "volume")
    if kind in ("image", "cluster", "npipe"):
        raise Unsupported(f"--mount type={kind} is not supported yet", feature="--mount type")
    if kind not in ("bind", "volume", "tmpfs"):
        raise _invalid(f'mount type unknown: "{kind[:64]}"', kind)
    if not fields.get("target"):
        raise invalid_argument("--mount", raw, "target is required")
    for key in fields:
        if _KEYS[key] not in ("", kind):
            raise invalid_argument(
                "--mount", raw, f"cannot mix '{_KEYS[key]}-*' options with mount type '{kind}'"
            )
    target = container_path(fields["target"], f'invalid mount config for type "{kind}": ')
    if kind == "bind":
        return _bind(fields, target)
    if kind == "tmpfs":
        return _tmpfs(fields, target)
    return _volume(fields, target, pairs)


def _bind(fields: Fields, target: str) -> BindMount:
    source = fields.get("source", "")
    if not source:
        raise _invalid("field Source must not be empty", "bind")
    if source[0] not in "/.":
        raise _invalid(f"invalid mount path: '{source[:200]}' mount path must be absolute", "bind")
    propagation = fields.get("bind-propagation", "rprivate")
    if propagation not in _PROPAGATIONS:
        raise _invalid(f"invalid propagation mode: {propagation[:64]}", "bind")
    recursive = fields.get("bind-recursive", "enabled")
    if recursive not in ("enabled", "disabled", "writable", "readonly"):
        raise _invalid(f"invalid value for bind-recursive: {recursive[:64]}", "bind")
    if recursive == "writable":
        raise Unsupported("bind-recursive=writable is not supported yet", feature="bind-recursive")
    return BindMount(
        source=host_path(source, {}),
        target=target,
        read_only=_is_on(fields, "readonly"),
        propagation=propagation,
        create_source=False,
        recursive=recursive != "disabled" and not _is_on(fields, "bind-nonrecursive"),
        long_form=True,
    )


def _volume(fields: Fields, target: str, pairs: Fields) -> BindMount:
    name = fields.get("source", "")
    if name:
        check_volume_name(name)
    if fields.get("volume-driver", "local") not in ("", "local"):
        raise Unsupported("volume-driver is local here", feature="volume-driver")
    return BindMount(
        source="",
        target=target,
        read_only=_is_on(fields, "readonly"),
        create_source=False,
        volume=name,
        is_anonymous=not name,
        copy=not _is_on(fields, "volume-nocopy"),
        labels=_chosen(pairs, "label:"),
        options=_chosen(pairs, "option:"),
        long_form=True,
    )


def _chosen(pairs: Fields, prefix: str) -> tuple[tuple[str, str], ...]:
    length = len(prefix)
    return tuple((key[length:], value) for key, value in pairs.items() if key.startswith(prefix))


def _tmpfs(fields: Fields, target: str) -> TmpfsMount:
    if fields.get("source"):
        raise _invalid("field Source must not be specified", "tmpfs")
    options = ["noexec", "nosuid", "nodev"]
    if _is_on(fields, "readonly"):
        options.append("ro")
    if "tmpfs-size" in fields:
        try:
            options.append(f"size={size_bytes(fields['tmpfs-size'])}")
        except ValueError as error:
            raise _bad_value("tmpfs-size", fields["tmpfs-size"]) from error
    mode = fields.get("tmpfs-mode", "")
    if mode:
        if len(mode) > 5 or not mode.isascii() or not mode.isdigit() or set(mode) & {"8", "9"}:
            raise _bad_value("tmpfs-mode", mode)
        options.append(f"mode={mode}")
    return TmpfsMount(target=target, options=tuple(options))


def _fields(raw: str) -> tuple[Fields, Fields]:
    """Return what is said once, and labels and options of a volume, which may be many."""
    if not raw.strip() or "\0" in raw:
        raise invalid_argument("--mount", raw, "value is empty")
    fields: Fields = {}
    pairs: Fields = {}
    for word in _csv(raw):
        key, equals, value = word.partition("=")
        known = _ALIASES.get(key.lower(), key.lower())
        if known not in _KEYS and (equals or not key):
            raise invalid_argument("--mount", raw, f"unexpected key '{key[:64]}' in '{word[:200]}'")
        if not equals and known not in _FLAGS:
            raise invalid_argument(
                "--mount", raw, f"invalid field '{word[:200]}' must be a key=value pair"
            )
        if key != key.strip() or value != value.strip():
            raise invalid_argument("--mount", raw, f"invalid option '{key[:64]}': whitespace")
        if known in _LATER:
            raise Unsupported(f"--mount {known} is not supported yet", feature=f"--mount {known}")
        if known in _PAIRS:
            name, _, text = value.partition("=")
            pairs[_PAIRS[known] + name] = text
            continue
        if known in _FLAGS:
            _check_boolean(raw, known, value if equals else "true")
        fields[known] = value if equals else "true"
    return fields, pairs


def _csv(raw: str) -> list[str]:
    """Split at commas outside of quotes; a doubled quote inside of them is one."""
    words, word, quoted, position = [], "", False, 0
    while position < len(raw):
        char = raw[position]
        if char == '"' and quoted and raw[position + 1 : position + 2] == '"':
            word += '"'
            position += 1
        elif char == '"':
            quoted = not quoted
        elif char == "," and not quoted:
            words.append(word)
            word = ""
        else:
            word += char
        position += 1
    if quoted:
        raise invalid_argument("--mount", raw, 'extraneous or missing " in quoted-field')
    return [*words, word]


def _check_boolean(raw: str, key: str, value: str) -> None:
    try:
        boolean(value)
    except ValueError:
        raise invalid_argument("--mount", raw, f"invalid value for {key}: {value[:64]}") from None


def _is_on(fields: Fields, key: str) -> bool:
    return key in fields and boolean(fields[key])


def _bad_value(key: str, value: str) -> InvalidInput:
    return InvalidInput(f"invalid value for {key}: {value[:64]}", where="--mount")


def _invalid(why: str, kind: str) -> PyruncError:
    return InvalidInput(f'invalid mount config for type "{kind}": {why}', where="--mount")
