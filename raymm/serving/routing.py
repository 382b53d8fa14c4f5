"""Which version answers a request: a canary gets its share by a hash of the prediction's name.

The same name always goes the same way, on every replica and after a restart; a share that grows
keeps whom it had.
"""

from __future__ import annotations

import zlib


def falls_to_canary(identity: str, share: float, salt: int) -> bool:
    """Return whether a prediction of that name belongs to the share.

    Parameters
    ----------
    identity : str
        The prediction's name.
    share : float
        In [0, 1].
    salt : int
        The canary's version, so that the next canary meets other names.
    """
    # CRC-32 is linear: names that differ in a counter alone would not spread, so it is mixed.
    mixed = (zlib.crc32(identity.encode()) ^ (salt * 0x9E3779B1)) & 0xFFFFFFFF
    mixed = ((mixed ^ mixed >> 16) * 0x85EBCA6B) & 0xFFFFFFFF
    mixed = ((mixed ^ mixed >> 13) * 0xC2B2AE35) & 0xFFFFFFFF
    return (mixed ^ mixed >> 16) < share * 2**32
