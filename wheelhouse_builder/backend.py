"""The PEP 517 hooks of the build-backend wrapper: `build-backend = "wheelhouse_builder.backend"`.

Importing this module loads the standard library alone, since front ends do it in a process of its own for every hook.
The hooks that PEP 517 and PEP 660 leave to the backend are there exactly when the wrapped backend has them (PEP 562);
docs/reference/backend.md says what each does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_ConfigSettings = Mapping[str, object] | None


def get_requires_for_build_wheel(config_settings: _ConfigSettings = None) -> list[str]:
    """What building the wheel takes beyond `[build-system] requires`: nothing if the wheelhouse has it."""
    requires: list[str] = _call("get_requires_for_build_wheel", config_settings)
    return requires


def build_wheel(
    wheel_directory: str, config_settings: _ConfigSettings = None, metadata_directory: str | None = None
) -> str:
    """Put the wheel into `wheel_directory`, from the wheelhouse or built; returns its file name."""
    filename: str = _call("build_wheel", wheel_directory, config_settings, metadata_directory)
    return filename


def get_requires_for_build_sdist(config_settings: _ConfigSettings = None) -> list[str]:
    """What the wrapped backend says."""
    requires: list[str] = _call("get_requires_for_build_sdist", config_settings)
    return requires


def build_sdist(sdist_directory: str, config_settings: _ConfigSettings = None) -> str:
    """The wrapped backend's sdist; returns its file name."""
    filename: str = _call("build_sdist", sdist_directory, config_settings)
    return filename


def _prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: _ConfigSettings = None) -> str:
    folder: str = _call("prepare_metadata_for_build_wheel", metadata_directory, config_settings)
    return folder


def _get_requires_for_build_editable(config_settings: _ConfigSettings = None) -> list[str]:
    requires: list[str] = _call("get_requires_for_build_editable", config_settings)
    return requires


def _prepare_metadata_for_build_editable(metadata_directory: str, config_settings: _ConfigSettings = None) -> str:
    folder: str = _call("prepare_metadata_for_build_editable", metadata_directory, config_settings)
    return folder


def _build_editable(
    wheel_directory: str, config_settings: _ConfigSettings = None, metadata_directory: str | None = None
) -> str:
    filename: str = _call("build_editable", wheel_directory, config_settings, metadata_directory)
    return filename


_OPTIONAL: Mapping[str, Callable[..., Any]] = {
    "prepare_metadata_for_build_wheel": _prepare_metadata_for_build_wheel,
    "get_requires_for_build_editable": _get_requires_for_build_editable,
    "prepare_metadata_for_build_editable": _prepare_metadata_for_build_editable,
    "build_editable": _build_editable,
}


def __getattr__(name: str) -> Any:
    """An optional hook, or the exception by which the wrapped backend says that it makes no sdists (PEP 517)."""
    if name == "UnsupportedOperation":
        value = _call("unsupported_operation")
    else:
        value = _OPTIONAL[name] if name in _OPTIONAL and _call("has_hook", name) else None
    if value is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return value


def _call(name: str, *arguments: object) -> Any:
    from wheelhouse_builder.wrapper import hooks, telling  # noqa: PLC0415 - see above

    with telling.errors_told():
        return getattr(hooks, name)(*arguments)
