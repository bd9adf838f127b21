"""What do names without a registry mean, by registries.conf?"""

from __future__ import annotations

from pathlib import Path

import pytest

from pyrunc.errors import InvalidInput
from pyrunc.image.endpoints import Hosts
from pyrunc.image.short_names import ShortNames, read_short_names, with_alias

SEARCH = 'unqualified-search-registries = ["docker.io", "quay.io:5"]\n'
DIGEST = f"sha256:{'a' * 64}"


def read(directory: Path, *texts: str) -> ShortNames | None:
    paths = []
    for number, text in enumerate(texts):
        path = directory / f"{number}.conf"
        path.write_text(text)
        paths.append(str(path))
    return read_short_names(paths, str(directory / "recorded"))


def found(directory: Path, *texts: str) -> ShortNames:
    names = read(directory, 'short-name-mode = "permissive"', *texts)
    assert names is not None
    return names


def test_docker_s_way_unless_a_mode_is_named(tmp_path: Path) -> None:
    assert read(tmp_path) is None
    assert read(tmp_path, SEARCH + '[aliases]\nx = "quay.io/x"') is None


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("x", ["docker.io/library/x:latest", "quay.io:5/x:latest"]),
        ("a/x:1", ["docker.io/a/x:1", "quay.io:5/a/x:1"]),
        (f"x@{DIGEST}", [f"docker.io/library/x@{DIGEST}", f"quay.io:5/x@{DIGEST}"]),
        ("short", ["quay.io/long/name:latest"]),
        ("short:2", ["quay.io/long/name:2"]),
        (f"short@{DIGEST}", [f"quay.io/long/name@{DIGEST}"]),
        ("docker.io/short", ["docker.io/library/short:latest"]),
        ("localhost/short", ["localhost/short:latest"]),
        ("erased", ["docker.io/library/erased:latest", "quay.io:5/erased:latest"]),
        ("over", ["second.io/over:latest"]),
    ],
)
def test_short_name_means(word: str, names: list[str], tmp_path: Path) -> None:
    first = '[aliases]\nshort = "quay.io/long/name"\nerased = "quay.io/e"\nover = "first.io/over"'
    second = '[aliases]\nerased = ""\nover = "second.io/over"'

    assert found(tmp_path, SEARCH + first, second).candidates(word) == names


def test_without_registries_it_is_docker_s(tmp_path: Path) -> None:
    assert found(tmp_path).candidates("x") == ["docker.io/library/x:latest"]


def test_choice_is_kept_and_wins(tmp_path: Path) -> None:
    recorded = tmp_path / "recorded"
    for word, full in (("x:1", "quay.io:5/x:1"), ("y", f"a.io/y@{DIGEST}"), ("x", "b.io/x:3")):
        recorded.write_bytes(with_alias(str(recorded), word, full))

    names = found(tmp_path, SEARCH + '[aliases]\nx = "other.io/x"')

    assert recorded.read_text() == '[aliases]\n"x" = "b.io/x"\n"y" = "a.io/y"\n'
    assert names.candidates("x:7") == ["b.io/x:7"]


@pytest.mark.parametrize(
    "text",
    [
        'short-name-mode = "often"',
        '[aliases]\n"a:1" = "quay.io/a"',
        '[aliases]\na = "b"',
        '[aliases]\na = "quay.io/a:1"',
        '[aliases]\n"quay.io/a" = "quay.io/b"',
        "[aliases]\na = 1",
        f'[aliases]\na = "quay.io/a@{DIGEST}"',
    ],
)
def test_what_is_off_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot read"):
        found(tmp_path, text)


def test_files_are_those_of_registries(tmp_path: Path) -> None:
    place = tmp_path / "containers/registries.conf"
    place.parent.mkdir()
    place.write_text('short-name-mode = "disabled"\n')
    (tmp_path / "containers/registries.conf.d").mkdir()
    (tmp_path / "containers/registries.conf.d/1.conf").write_text(SEARCH)

    names = Hosts({}, roots=(str(tmp_path),)).short_names("")

    assert names is not None
    assert (names.mode, names.registries) == ("disabled", ("docker.io", "quay.io:5"))
