"""The hooks of PEP 517 and PEP 660: from the wheelhouse, by whb's pipeline, or by the wrapped backend.

On a hit the wrapped backend is neither imported nor asked: cffi projects compile already when they are asked for their
build requirements (cffi#190), and a machine that only installs has nothing to compile with.
"""

from __future__ import annotations

import shutil
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from wheelhouse_builder.errors import DamagedError, DownloadError, MachineError, WhbError
from wheelhouse_builder.wrapper.own import has_compiler, own_tags, own_target
from wheelhouse_builder.wrapper.request import read_request
from wheelhouse_builder.wrapper.stored import fetch, find
from wheelhouse_builder.wrapper.telling import tell
from wheelhouse_builder.wrapper.wrapped import Wrapped, load_wrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wheelhouse_builder.project.key import ConfigSettings
    from wheelhouse_builder.wrapper.request import Request
    from wheelhouse_builder.wrapper.stored import Found

# Our extras. Alpine can have all of the second: cargo-zigbuild is not there.
_BUILD_EXTRA = "build"
_STORE_EXTRA = "store"
_METADATA_HOOK = "prepare_metadata_for_build_wheel"

T = TypeVar("T")


# Wheels


def get_requires_for_build_wheel(config_settings: ConfigSettings) -> list[str]:
    """Nothing for a hit, what our `build` extra needs for another target, else what the wrapped backend says."""
    request = read_request(config_settings)
    # Where a damaged wheel is built instead, that must be known now: building it takes the requirements.
    check = _verified if request.settings.backend.on_miss == "build" else bool
    if _from_wheelhouse(request, check):
        return []
    if request.foreign_target:
        _require_building(request)
        return _requirements_of(_BUILD_EXTRA)
    wrapped = _wrapped_for_wheel(request)
    with _explaining_failure(request):
        requires = _ask_requires(wrapped, "get_requires_for_build_wheel", request.config_settings)
    return [*requires, *_requirements_of(_STORE_EXTRA)] if request.settings.backend.store else requires


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: ConfigSettings) -> str:
    """The name of the `.dist-info` folder: of the stored wheel, of the wrapped backend, or of a wheel built for it."""
    request = read_request(config_settings)
    folder = Path(metadata_directory)
    found = _from_wheelhouse(request, lambda found: _dist_info(fetch(found, folder), folder))
    if found is not None:
        return found
    if request.foreign_target is None:
        wrapped = _wrapped_for_wheel(request)
        if wrapped.has(_METADATA_HOOK):
            with _explaining_failure(request):
                name: str = wrapped.call(_METADATA_HOOK, metadata_directory, request.config_settings)
            return name
    return _dist_info(_built(request, folder, None), folder)


def build_wheel(wheel_directory: str, config_settings: ConfigSettings, metadata_directory: str | None) -> str:
    """The file name of the wheel: copied, or built."""
    request = read_request(config_settings)
    folder = Path(wheel_directory)
    wheel = _from_wheelhouse(request, lambda found: fetch(found, folder))
    if wheel is None:
        wheel = _built(request, folder, metadata_directory)
    if request.foreign_target:
        tell(f"{wheel.name} is for {request.foreign_target}, not for this interpreter")
    return wheel.name


# What always is the wrapped backend's business


def get_requires_for_build_sdist(config_settings: ConfigSettings) -> list[str]:
    """What the wrapped backend says."""
    request = read_request(config_settings)
    return _ask_requires(_wrapped(request), "get_requires_for_build_sdist", request.config_settings)


def build_sdist(sdist_directory: str, config_settings: ConfigSettings) -> str:
    """The file name of the wrapped backend's sdist."""
    request = read_request(config_settings)
    name: str = _wrapped(request).call("build_sdist", sdist_directory, request.config_settings)
    return name


def get_requires_for_build_editable(config_settings: ConfigSettings) -> list[str]:
    """What the wrapped backend says."""
    request = read_request(config_settings)
    return _ask_requires(_wrapped(request), "get_requires_for_build_editable", request.config_settings)


def prepare_metadata_for_build_editable(metadata_directory: str, config_settings: ConfigSettings) -> str:
    """The name of the wrapped backend's `.dist-info` folder."""
    request = read_request(config_settings)
    hook = "prepare_metadata_for_build_editable"
    name: str = _wrapped(request).call(hook, metadata_directory, request.config_settings)
    return name


def build_editable(wheel_directory: str, config_settings: ConfigSettings, metadata_directory: str | None) -> str:
    """The file name of the wrapped backend's editable wheel."""
    request = read_request(config_settings)
    wrapped = _wrapped(request)
    prepared = [metadata_directory] if wrapped.has("prepare_metadata_for_build_editable") else []
    name: str = wrapped.call("build_editable", wheel_directory, request.config_settings, *prepared)
    return name


# What is there


def has_hook(name: str) -> bool:
    """Whether an optional hook is there: as the wrapped backend has it.

    Nobody tells us of `-C` here. For a wheel that the settings of file and environment find, and for one that is not to
    be built, the wrapped backend is not imported; the call of the hook then says what there is to say.
    """
    request = read_request(None)
    if name != _METADATA_HOOK:
        return _wrapped(request).has(name)
    if request.foreign_target or _from_wheelhouse(request, lambda _: True):
        return True
    try:
        return _wrapped_for_wheel(request).has(name)
    except MachineError:
        return True


def unsupported_operation() -> type[Exception] | None:
    """The exception by which the wrapped backend says that it makes no sdists (PEP 517).

    Asked for when any exception passes a front end, so nothing is imported for it.
    """
    return next((found for each in _loaded.values() if (found := each.unsupported_operation)), None)


# Steps


_loaded: dict[Path, Wrapped] = {}


def _wrapped(request: Request) -> Wrapped:
    """The wrapped backend, imported once in a process."""
    if request.root not in _loaded:
        _loaded[request.root] = load_wrapped(request.root, request.system)
    return _loaded[request.root]


def _wrapped_for_wheel(request: Request) -> Wrapped:
    """The wrapped backend, where it may build the wheel that is missing. Raises `MachineError` where it may not."""
    _require_building(request)
    return _wrapped(request)


def _require_building(request: Request) -> None:
    on_miss = request.settings.backend.on_miss
    if on_miss == "fail":
        raise _missing(request, 'and on-miss is "fail"')
    if on_miss is None and _lacks_compiler(request) and _needs_compiler(request):
        raise _missing(request, "and this machine has no compiler")


def _from_wheelhouse(request: Request, use: Callable[[Found], T]) -> T | None:
    """What `use` makes of the stored wheel; None if there is none.

    Raises `DownloadError` and `DamagedError` for what is wrong with the wheelhouse; where on-miss is "build", that is
    told as well as none.
    """
    try:
        found = find(request, request.foreign_target)
        return use(found) if found else None
    except (DownloadError, DamagedError) as error:
        if request.settings.backend.on_miss != "build":
            hint = "; ".join(filter(None, (error.hint, "-C whb.on-miss=build builds without the wheelhouse")))
            raise type(error)(error.message, hint=hint) from None
        tell(f"{error.message}: the wheel is built")
        return None


def _verified(found: Found) -> bool:
    from tempfile import TemporaryDirectory  # noqa: PLC0415 - rarely needed

    with TemporaryDirectory() as folder:
        return bool(fetch(found, Path(folder)))


def _ask_requires(wrapped: Wrapped, hook: str, config_settings: ConfigSettings) -> list[str]:
    """PEP 517: who has no such hook needs nothing more."""
    requires: list[str] = wrapped.call(hook, config_settings) if wrapped.has(hook) else []
    return requires


def _requirements_of(extra: str) -> list[str]:
    from wheelhouse_builder.wrapper.extras import requirements_of  # noqa: PLC0415 - rarely needed

    return requirements_of(extra)


def _built(request: Request, folder: Path, metadata_directory: str | None) -> Path:
    """A wheel that is made now, in `folder`."""
    if target := request.foreign_target:
        _require_building(request)
        with _extra_there(_BUILD_EXTRA):
            from wheelhouse_builder.wrapper.produce import build_for  # noqa: PLC0415 - heavy

            return build_for(request, target, folder)
    wrapped = _wrapped_for_wheel(request)
    if request.settings.backend.store:
        _ = request.inputs  # what the wheel is found by: of the tree as it is before a build writes into it
    prepared = [metadata_directory] if wrapped.has(_METADATA_HOOK) else []
    with _explaining_failure(request):
        returned = wrapped.call("build_wheel", str(folder), request.config_settings, *prepared)
    wheel = folder / _checked_name(returned)
    return _kept(request, wheel) if request.settings.backend.store else wheel


def _checked_name(returned: object) -> str:
    """The file name of the wheel, which is for this interpreter: pip installs whatever a backend returns.

    Raises `MachineError`.
    """
    filename = Path(returned).name if isinstance(returned, str) else ""
    try:
        tags = parse_wheel_filename(filename)[-1]
    except InvalidWheelFilename:
        raise MachineError(f"the wrapped backend returned {returned!r}, which is no name of a wheel") from None
    if tags.isdisjoint(own_tags()):
        hint = "-C whb.target=cp312-musllinux_1_2_aarch64 builds for another target"
        raise MachineError(f"the wrapped backend built {filename}, which this interpreter cannot install", hint=hint)
    return filename


def _kept(request: Request, wheel: Path) -> Path:
    """The wheel as the wheelhouse keeps it, else as it was built."""
    store = request.settings.backend.store
    if request.is_sdist and store is not None and store.is_relative_to(request.root):
        tell(f"{wheel.name} is not stored: {store} goes with the unpacked sdist; store may be an absolute path")
        return wheel
    with _extra_there(_STORE_EXTRA):
        from wheelhouse_builder.wrapper.produce import store_own  # noqa: PLC0415 - heavy

        stored = store_own(request, wheel)
    if stored is None:
        return wheel
    wheel.unlink()
    return Path(shutil.copy(stored, wheel.parent))


@contextmanager
def _explaining_failure(request: Request) -> Iterator[None]:
    """Where the wrapped backend fails for want of a compiler, as it seems, say so after what it said."""
    try:
        yield
    except WhbError:
        raise
    except (Exception, SystemExit) as error:
        if not _lacks_compiler(request):
            raise
        if not isinstance(error, SystemExit):
            traceback.print_exc()
        raise _missing(request, "and building it failed on this machine, which has no compiler") from None


def _lacks_compiler(request: Request) -> bool:
    return request.foreign_target is None and own_target() is not None and not has_compiler()


def _needs_compiler(request: Request) -> bool:
    from wheelhouse_builder.wrapper.missing import needs_compiler  # noqa: PLC0415 - rarely needed

    return needs_compiler(request)


def _missing(request: Request, why: str) -> WhbError:
    from wheelhouse_builder.wrapper.missing import missing_wheel  # noqa: PLC0415 - rarely needed

    return missing_wheel(request, request.foreign_target or own_target(), why)


def _dist_info(wheel: Path, folder: Path) -> str:
    """Unpack the metadata of a wheel that was put into `folder` for it, and remove the wheel."""
    from wheelhouse_builder.wrapper.dist_info import extract_dist_info  # noqa: PLC0415 - for one hook alone

    try:
        return extract_dist_info(wheel, folder)
    finally:
        wheel.unlink()


@contextmanager
def _extra_there(extra: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("wheelhouse_builder"):
            raise
        hint = f"pip install 'wheelhouse-builder[{extra}]'"
        raise MachineError(f"this needs {error.name}, which is not installed", hint=hint) from None
