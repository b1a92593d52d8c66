"""What is said where the wheel is missing and is not to be built here: which, for what, and how to make it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from wheelhouse_builder.errors import MachineError, WhbError
from wheelhouse_builder.wrapper.own import own_tags
from wheelhouse_builder.wrapper.stored import has_others, place_of

if TYPE_CHECKING:
    from wheelhouse_builder.target import Target
    from wheelhouse_builder.wrapper.request import Request

# Build requirements that nobody has who needs no compiler; of the others `verify.native` looks at the sources.
_COMPILING = frozenset({"cffi", "cython", "nanobind", "pybind11", "setuptools-rust"})


def missing_wheel(request: Request, target: Target | None, why: str) -> WhbError:
    """The error: which wheel is missing for a target (None: for this interpreter), `why` it is not built, a command."""
    what = f"{request.identity.name or request.root.name} {request.identity.version or ''}".rstrip()
    whom = str(target or own_tags()[0])
    others = ": what is there is of other sources or settings" if has_others(request, target) else ""
    message = f"no wheel of {what} for {whom} is in {place_of(request.settings)}{others}, {why}"
    return MachineError(message, hint=_remedy(request, target))


def needs_compiler(request: Request) -> bool:
    """Whether the project's wheel holds compiled code, as far as its files say so."""
    from wheelhouse_builder.verify.native import native_sources  # noqa: PLC0415 - rarely needed

    return not request.system.required_names.isdisjoint(_COMPILING) or bool(native_sources(request.root))


def _remedy(request: Request, target: Target | None) -> str:
    if target is None:
        return "whb stores musllinux and pure wheels; -C whb.on-miss=build builds for this interpreter"
    if request.config_settings:  # they shape the wheel, and `whb build` takes none
        words = ["pip", "wheel", ".", "--no-deps", "-C", f"whb.target={target}", "-C", f"whb.store={_store(request)}"]
        for name, value in request.config_settings.items():
            for item in value if isinstance(value, list | tuple) else [value]:
                words += ["-C", f"{name}={item}"]
        return f"in the project's folder: {shlex.join(words)}"
    wanted = ["--python", target.python_version, "--arch", target.arch.docker, "-w", _store(request)]
    if request.is_sdist:
        name = canonicalize_name(request.identity.name or "")
        pinned = f"{name}=={request.identity.version}" if request.identity.version else name
        return f"it is made by: {shlex.join(['whb', 'build', '-P', pinned, '--no-binary', name, *wanted])}"
    return f"it is made in the project's folder by: {shlex.join(['whb', 'build', '.', *wanted])}"


def _store(request: Request) -> str:
    """The wheelhouse as a command names it: that of an index is a folder elsewhere."""
    return "wheelhouse" if request.settings.backend.index else str(request.settings.wheelhouse)
