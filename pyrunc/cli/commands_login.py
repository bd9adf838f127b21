"""The commands login, logout and search."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import InvalidInput, PyruncError
from . import listing, output
from .commands import Call, Command
from .commands_registry import ACCESS_ROWS, environment, make_access
from .listing import parse_filters
from .option_table import FLAG, LIST, VALUE

if TYPE_CHECKING:
    from ..engine.login import Credential
    from ..engine.search import Found
    from .go_functions import Value
    from .option_table import Row

_HELP: Row = ("help", "", FLAG, "", "", "Show this help")
_NO_TERMINAL = "Cannot perform an interactive login from a non TTY device"
_HEADERS = {
    "Name": "NAME", "Description": "DESCRIPTION", "StarCount": "STARS", "IsOfficial": "OFFICIAL",
    "IsAutomated": "AUTOMATED",
}  # fmt: skip
_COLUMNS = ("Name", "Description", "StarCount", "IsOfficial")
_DESCRIPTION_LENGTH = 45
_TRUE, _FALSE = ("true", "1"), ("false", "0")


def login(call: Call) -> int:
    """Log in, after asking for what was not given."""
    from ..engine import login as engine_login

    if call.text("email"):
        output.warning("--email has no effect and will go away")
    domain = engine_login.read_server(call.operands[0] if call.operands else "")
    where = environment(call)
    username, password = _given(call)
    who: Credential | None = None
    if not username and not password:
        who = engine_login.stored_login(domain, where)
        if who is not None:
            output.line(f"Authenticating with existing credentials... [Username: {who.username}]")
            output.note("hint: to log in as somebody else, use -u, or pyrunc logout first")
    if who is None:
        username, password = _ask(username, password)
        who = engine_login.make_credential(username, password)
    done = engine_login.login(
        domain,
        who,
        where,
        output.note,
        verify=call.is_on("tls-verify") if "tls-verify" in call.flags else None,
        certificates=call.text("cert-dir"),
    )
    if done.file:
        output.note(
            f"\nWARNING! Your credentials are stored unencrypted in '{done.file}'.\n"
            "Configure a credential helper to remove this warning. See\n"
            "https://docs.docker.com/go/credential-store/\n"
        )
    output.line("Login Succeeded")
    return 0


def _given(call: Call) -> tuple[str, str]:
    username, password = call.text("username"), call.text("password")
    is_piped = call.is_on("password-stdin")
    if "username" in call.flags and not username:
        raise InvalidInput("username is empty", where="--username")
    if password and is_piped:
        raise InvalidInput(
            "conflicting options: cannot specify both --password and --password-stdin",
            where="--password-stdin",
        )
    if is_piped or password == "-":  # noqa: S105  # no password, a mark
        if not username:
            raise InvalidInput(
                "the --password-stdin option requires --username to be set",
                where="--password-stdin",
            )
        return username, _read_stdin()
    if password:
        output.note("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
    return username, password


def _read_stdin() -> str:
    raw = b""
    while chunk := os.read(0, 1 << 16):
        raw += chunk
        if len(raw) > 1 << 20:
            raise InvalidInput("the password on standard input is too long")
    password = raw.decode("utf-8", "surrogateescape").removesuffix("\n").removesuffix("\r")
    if not password:
        raise InvalidInput("password is empty", where="--password-stdin")
    return password


def _ask(username: str, password: str) -> tuple[str, str]:
    if username and password:
        return username, password
    if not os.isatty(0):
        raise PyruncError(_NO_TERMINAL, hint="pipe the password in with --password-stdin")
    import getpass

    if not username:
        username = input("Username: ").strip()
        if not username:
            raise InvalidInput("username is required", where="--username")
    if not password:
        password = getpass.getpass("Password: ")
        if not password:
            raise InvalidInput("password is required", where="--password")
    return username, password


def logout(call: Call) -> int:
    """Forget a login."""
    from ..engine import login as engine_login

    domain = engine_login.read_server(call.operands[0] if call.operands else "")
    output.line(f"Removing login credentials for {engine_login.shown_server(domain)}")
    engine_login.logout(domain, environment(call))
    return 0


def search(call: Call) -> int:
    """Search a registry."""
    from ..engine.search import LIMIT_DEFAULT
    from ..engine.search import search as engine_search

    raw_limit = call.text("limit") or str(LIMIT_DEFAULT)
    if not raw_limit.removeprefix("-").isdigit():
        raise call.usage_problem(f'invalid argument "{raw_limit}" for "--limit" flag: not a number')
    filters = _filters(call)
    limit = int(raw_limit[:9]) or LIMIT_DEFAULT
    found = engine_search(make_access(call), call.operands[0], limit=limit)
    full = call.is_on("no-trunc")
    rows = [_row(one, full) for one in found if _fits(one, filters)]
    listing.print_rows(rows, _HEADERS, _COLUMNS, call.text("format"))
    return 0


def _row(one: Found, full: bool) -> dict[str, Value]:
    description = " ".join(one.description.split())
    if not full and len(description) > _DESCRIPTION_LENGTH:
        description = f"{description[: _DESCRIPTION_LENGTH - 1]}…"
    return {
        "Name": one.name,
        "Description": description,
        "StarCount": str(one.stars),
        "IsOfficial": "[OK]" if one.is_official else "",
        "IsAutomated": "[OK]" if one.is_automated else "",
    }


def _filters(call: Call) -> dict[str, list[str]]:
    filters = parse_filters(call.texts("filter"))
    for key, values in filters.items():
        if key not in ("stars", "is-official", "is-automated"):
            raise InvalidInput(f"invalid filter '{key}'", where="--filter")
        for value in values:
            if key == "stars" and not value.isdigit():
                raise InvalidInput(f"invalid filter 'stars={value}'", where="--filter")
            if key != "stars" and value not in (*_TRUE, *_FALSE):
                raise InvalidInput(f"invalid filter '{key}={value}'", where="--filter")
    return filters


def _fits(one: Found, filters: dict[str, list[str]]) -> bool:
    return (
        all(one.stars >= int(value) for value in filters.get("stars", ()))
        and all(one.is_official == (v in _TRUE) for v in filters.get("is-official", ()))
        and all(one.is_automated == (v in _TRUE) for v in filters.get("is-automated", ()))
    )


_TLS_ROWS = tuple(row for row in ACCESS_ROWS if row[0] in ("cert-dir", "tls-verify"))

LOGIN = Command(
    "login",
    login,
    rows=(
        ("username", "u", VALUE, "NAME", "", "Who; asked for if not given"),
        (
            "password",
            "p",
            VALUE,
            "PASSWORD",
            "",
            "Seen by everybody on this machine; - reads stdin",
        ),
        ("password-stdin", "", FLAG, "", "", "Read the password from stdin"),
        ("email", "e", VALUE, "TEXT", "", "Accepted and ignored"),
        *_TLS_ROWS,
        _HELP,
    ),
    usage="[SERVER]",
    counts=(0, 1),
    about="Log in to a registry, Docker Hub if none is named.\n\n"
    "The registry is asked first; the login is kept in docker's config.json, or by the credential "
    "helper that it names, and serves docker and podman, too.",
)

LOGOUT = Command(
    "logout",
    logout,
    rows=(_HELP,),
    usage="[SERVER]",
    counts=(0, 1),
    about="Forget the login to a registry.",
)

SEARCH = Command(
    "search",
    search,
    rows=(
        ("filter", "f", LIST, "KEY=VALUE", "", "stars, is-official, is-automated"),
        ("format", "", VALUE, "FORMAT", "", '"table", "table TEMPLATE", "json" or a template'),
        ("limit", "", VALUE, "NUMBER", "", "How many at most (default 25, 100 at most)"),
        ("no-trunc", "", FLAG, "", "", "Whole descriptions"),
        *ACCESS_ROWS,
        _HELP,
    ),
    usage="TERM",
    counts=(1, 1),
    about="Search Docker Hub, or with HOST/TERM another registry.\n\n"
    "Placeholders: .Name .Description .StarCount .IsOfficial .IsAutomated.",
)
