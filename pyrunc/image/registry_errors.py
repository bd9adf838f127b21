"""What does a registry's error say, in words a user can read?

Source: distribution-spec 1.1, "Error codes".
"""

from __future__ import annotations

from ..errors import InvalidInput
from ..oci import document

_TEXT_LIMIT = 500
_ERRORS_LIMIT = 3


def error_codes(raw: bytes) -> list[str]:
    """Return the codes in the body of an error: "MANIFEST_UNKNOWN" …"""
    return [str(error.get("code", "")) for error in _errors(raw)]


def error_text(raw: bytes) -> str:
    """Return the message of a body, "" for none that a person could read."""
    words = []
    for error in _errors(raw)[:_ERRORS_LIMIT]:
        code = str(error.get("code") or "").lower().replace("_", " ")
        message = str(error.get("message") or "")
        words.append(f"{code}: {message}" if code and message else message or code)
    if words:
        return "; ".join(words)[:_TEXT_LIMIT]
    try:
        value = document.load(raw, "error", limit_bytes=1 << 20)
    except InvalidInput:
        text = raw[:_TEXT_LIMIT].decode("utf-8", "replace").strip()
        # A proxy's page tells less than its status.
        return "" if text.startswith("<") else " ".join(text.split())
    for key in ("message", "details", "error_description", "error"):
        if isinstance(value, dict) and isinstance(value.get(key), str):
            return str(value[key])[:_TEXT_LIMIT]
    return ""


def _errors(raw: bytes) -> list[dict[str, object]]:
    try:
        value = document.load(raw, "error", limit_bytes=1 << 20)
    except InvalidInput:
        return []
    errors = value.get("errors") if isinstance(value, dict) else None
    if not isinstance(errors, list):
        return []
    return [error for error in errors if isinstance(error, dict)]
