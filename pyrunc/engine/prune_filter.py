"""What may a prune take: things of some age, with some labels."""

from __future__ import annotations

from ..oci.record import Record


class Wanted(Record):
    """What a prune is limited to: made before a moment, with and without labels."""

    until_ns: int | None = None
    labels: tuple[str, ...] = ()
    not_labels: tuple[str, ...] = ()

    def fits(self, created_ns: int, labels: dict[str, str]) -> bool:
        """Tell whether something of that age and with these labels may go."""
        if self.until_ns is not None and created_ns > self.until_ns:
            return False
        if any(not has_label(labels, one) for one in self.labels):
            return False
        return not self.not_labels or not all(has_label(labels, one) for one in self.not_labels)


def has_label(labels: dict[str, str], wanted: str) -> bool:
    """Tell whether "key" or "key=value" is among the labels."""
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)
