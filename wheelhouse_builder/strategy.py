"""The strategies: every way to have a wheel, as records, reports and the history name it."""

from __future__ import annotations

from enum import StrEnum


class Strategy(StrEnum):
    """A rung of the ladder, in the order of what it costs: what is there, what can be got, what has to be built."""

    WHEELHOUSE = "wheelhouse"  # it was there
    UPSTREAM = "upstream"  # the wheel of an index, for the target
    PURE = "pure"  # a wheel for any machine, fetched or built
    CROSS = "cross"  # the embedded engine
    NATIVE = "container-native"  # in a container, on a processor of its kind
    ACCELERATED = "container-accelerated"  # in an emulated one, with compilers that run natively
    EMULATED = "container-emulated"  # with the image's own compilers under QEMU
