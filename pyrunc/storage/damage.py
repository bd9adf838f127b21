"""What does a check of the store say is amiss?"""

from __future__ import annotations

from ..oci.record import Record


class Damage(Record):
    """One thing that is amiss; `mend` is "" where only loading the image again helps."""

    kind: str  # "blob", "layer", "image"
    subject: str
    problem: str
    mend: str = ""
    is_left: bool = False  # cannot be mended now; `mend` says why
