"""Ten tiny projects, each of which cannot be built for Alpine in a way of its own, with the class of its failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.integration.projects import c_extension

if TYPE_CHECKING:
    from collections.abc import Mapping

_SETUP = {"pyproject.toml": '[build-system]\nrequires = ["setuptools>=77"]\nbuild-backend = "setuptools.build_meta"\n'}
SETTINGS = 'job-timeout = "20 s"\n'  # what `sleeps` fails by


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to fail. `archs` are those on which it does; elsewhere the project is built."""

    files: Mapping[str, str]
    kind: str
    archs: tuple[str, ...] = ("amd64", "arm64")


def _setup(script: str) -> dict[str, str]:
    return {**_SETUP, "setup.py": script + "\nfrom setuptools import setup\nsetup()\n"}


def _shrugged(name: str) -> dict[str, str]:
    """C code that does not compile, which the project says nothing of."""
    module = name.replace("-", "_")
    extension = f'Extension("{module}", ["{module}.c"], optional=True)'
    call = f'setup(name="{name}", version="1.0", ext_modules=[{extension}])'
    return {
        **_SETUP,
        "setup.py": f"from setuptools import Extension, setup\n{call}\n",
        f"{module}.c": "#error\n",
    }


WAYS: Mapping[str, Way] = {
    "lacks-header": Way(files=c_extension("lacks-header", includes="#include <ffi.h>"), kind="missing-library"),
    "lacks-library": Way(
        files={
            name: text.replace('sources = ["lacks_library.c"]', 'sources = ["lacks_library.c"], libraries = ["nosuch"]')
            for name, text in c_extension("lacks-library").items()
        },
        kind="missing-library",
    ),
    "bad-c": Way(files=c_extension("bad-c", body="return nonsense(;"), kind="compiler"),
    "wants-glibc": Way(files=c_extension("wants-glibc", includes="#include <execinfo.h>"), kind="musl"),
    "wants-x86": Way(
        files=c_extension("wants-x86", includes="#include <immintrin.h>"), kind="cross-compiling", archs=("arm64",)
    ),
    "wants-symbol": Way(
        files=c_extension(
            "wants-symbol", includes="extern long nowhere(void);", body="return PyLong_FromLong(nowhere());"
        ),
        kind="would-not-load",
    ),
    "wants-network": Way(
        files=_setup("import urllib.request\nurllib.request.urlopen('http://index.example/data')"),
        kind="build-wants-network",
    ),
    "old-python": Way(files=_setup('print "hello"'), kind="python"),
    "is-pure": Way(files=_shrugged("is-pure"), kind="pure"),
    "sleeps": Way(files=_setup("import time\ntime.sleep(300)"), kind="time-out"),
}
