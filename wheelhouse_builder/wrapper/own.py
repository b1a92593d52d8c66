"""What this interpreter and this machine are: which wheels install here, and whether one can be compiled."""

from __future__ import annotations

import os
import shutil
import sys
from functools import cache

from packaging.tags import Tag, sys_tags

from wheelhouse_builder.target import NEWEST_PYTHON, OLDEST_PYTHON, Arch, Target

_COMPILERS = ("cc", "gcc", "clang")


@cache
def own_tags() -> tuple[Tag, ...]:
    """Every wheel tag that this interpreter installs, best first."""
    return tuple(sys_tags())


@cache
def own_target() -> Target | None:
    """The target that this interpreter is; None on glibc, for other implementations and architectures."""
    if not OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        return None
    targets = (Target(sys.version_info[:2], arch) for arch in Arch)
    return next((target for target in targets if _names(target) in own_tags()), None)


def _names(target: Target) -> Tag:
    """The tag that only this very target has."""
    return Tag(target.interpreter, target.interpreter, target.platform_tag)


def has_compiler() -> bool:
    """Whether a C compiler is there: what `CC` names, else the first of the usual names on PATH."""
    named = os.environ.get("CC", "").split()[:1]
    return any(shutil.which(name) for name in named or _COMPILERS)
