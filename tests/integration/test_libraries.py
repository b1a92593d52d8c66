"""C libraries, built with zig from crates that cargo fetched."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from wheelhouse_builder.elf import read_elf
from wheelhouse_builder.engines.cross import libraries
from wheelhouse_builder.engines.cross.crates import fetch_crate, prefetch_crates
from wheelhouse_builder.engines.cross.libraries import build_library, ensure_libraries, library_prefix
from wheelhouse_builder.engines.cross.pkgconfig import write_pkg_config
from wheelhouse_builder.engines.cross.rust import find_rust
from wheelhouse_builder.engines.cross.zig import ZigTools, ensure_zig
from wheelhouse_builder.errors import Cancelled, DownloadError, JobError, MachineError
from wheelhouse_builder.locking import locked
from wheelhouse_builder.process import Canceller, base_environment
from wheelhouse_builder.recipes.model import BuildSystem, CrateSource, LibraryRecipe, UrlSource
from wheelhouse_builder.recipes.store import load_library
from wheelhouse_builder.settings import default_cache
from wheelhouse_builder.target import Arch

pytestmark = pytest.mark.integration

SHARED_CACHE = Path(os.environ.get("WHB_CACHE_DIR", default_cache()))  # zig's own libraries take minutes to compile


@dataclass(frozen=True)
class Lab:
    """A cache of the test's own, with the compilers of the shared one."""

    cache: Path
    log: Path

    def tools(self, arch: Arch) -> ZigTools:
        return ensure_zig(arch, SHARED_CACHE)

    def ensure(self, arch: Arch, *names: str, offline: bool = False) -> tuple[dict[str, Path], list[str]]:
        phases: list[str] = []
        prefixes = ensure_libraries(
            names,
            self.tools(arch),
            cache=self.cache,
            jobs=2,
            offline=offline,
            log=self.log,
            canceller=Canceller(),
            phase=phases.append,
        )
        return prefixes, phases

    def build(self, recipe: LibraryRecipe, canceller: Canceller | None = None) -> Path:
        return build_library(
            recipe,
            self.tools(Arch.AARCH64),
            cache=self.cache,
            jobs=2,
            offline=True,
            log=self.log,
            canceller=canceller or Canceller(),
        )

    def small_library(self, build_system: BuildSystem, files: dict[str, str], **changes: object) -> LibraryRecipe:
        """A library of the test's own, its crate already in the cache."""
        source = CrateSource(crate="small-sys", version="1.0.0", sha256="0" * 64, path=".")
        crate = self.cache / "crates" / f"small-sys-1.0.0-{'0' * 16}"
        crate.mkdir(parents=True)
        for name, text in files.items():
            (crate / name).write_text(text, encoding="utf-8")
        recipe = LibraryRecipe(
            name="small",
            version="1.0",
            source=source,
            build_system=build_system,
            headers=("small.h",),
            archives=("libsmall.a",),
        )
        return replace(recipe, **changes)  # type: ignore[arg-type] # values of its fields


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    (tmp_path / "cache").mkdir()
    (SHARED_CACHE / "cargo").mkdir(parents=True, exist_ok=True)
    (tmp_path / "cache/cargo").symlink_to(SHARED_CACHE / "cargo")  # what cargo has downloaded once
    return Lab(tmp_path / "cache", tmp_path / "log")


PROGRAM = """
#include <ffi.h>
#include <zlib.h>
unsigned long both(void) {
  ffi_cif cif;
  return zlibCompileFlags() + ffi_prep_cif(&cif, FFI_DEFAULT_ABI, 0, &ffi_type_void, 0);
}
"""


@pytest.mark.parametrize("arch", list(Arch))
def test_libffi_and_zlib_link_into_an_extension(lab: Lab, tmp_path: Path, arch: Arch) -> None:
    prefixes, phases = lab.ensure(arch, "libffi", "zlib")
    assert phases == ["library libffi", "library zlib"]
    tools = lab.tools(arch)
    environment = base_environment({**tools.environment, **write_pkg_config(tmp_path / "bin", list(prefixes.values()))})
    argv = [environment["PKG_CONFIG"], "--cflags", "--libs", "libffi", "zlib"]
    flags = subprocess.run(argv, env=environment, check=True, capture_output=True, text=True).stdout.split()
    (tmp_path / "x.c").write_text(PROGRAM, encoding="utf-8")
    argv = [str(tools.bin / "cc"), "-shared", "-fPIC", "x.c", *flags, "-Wl,-z,defs", "-o", "x.so"]
    subprocess.run(argv, env=environment, cwd=tmp_path, check=True)
    with (tmp_path / "x.so").open("rb") as stream:
        extension = read_elf(stream)
    assert extension.machine is arch
    assert extension.needed == ("libc.so",)  # zig's name for musl; the libraries themselves are inside

    # once built it is there, also without network
    assert lab.ensure(arch, "libffi", "zlib", offline=True) == (prefixes, [])
    # and nothing but what serves, without this machine's paths
    files = [path for prefix in prefixes.values() for path in prefix.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".a", ".h", ".pc"}
    assert not [path for path in files if bytes(tmp_path) in path.read_bytes()]


def test_what_is_built_does_not_depend_on_where(lab: Lab, tmp_path: Path) -> None:
    other = Lab(tmp_path / "elsewhere/cache", tmp_path / "log")
    other.cache.mkdir(parents=True)
    (other.cache / "crates").symlink_to(lab.cache / "crates")
    archives = [each.ensure(Arch.AARCH64, "zlib")[0]["zlib"] / "lib/libz.a" for each in (lab, other)]
    assert archives[0].read_bytes() == archives[1].read_bytes()


def test_cmake(lab: Lab) -> None:
    files = {
        "small.c": "#include <small.h>\nint small(void) { return 1; }\n",
        "small.h": "int small(void);\n",
        "small.pc": "prefix=/usr\nName: small\nDescription: s\nVersion: 1\nLibs: -L${prefix}/lib -lsmall\n",
        "CMakeLists.txt": """
            cmake_minimum_required(VERSION 3.15)
            project(small C)
            include(GNUInstallDirs)
            if(NOT CMAKE_CROSSCOMPILING OR NOT CMAKE_SYSTEM_PROCESSOR STREQUAL aarch64)
              message(FATAL_ERROR "not for the target")
            endif()
            add_library(small small.c)
            target_include_directories(small PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
            install(TARGETS small DESTINATION ${CMAKE_INSTALL_LIBDIR})
            install(FILES small.h DESTINATION include)
            install(FILES small.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
        """,
    }
    prefix = lab.build(lab.small_library(BuildSystem.CMAKE, files, pkg_config=("small",)))
    assert sorted(str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.is_file()) == [
        "include/small.h",
        "lib/libsmall.a",
        "lib/pkgconfig/small.pc",
    ]


SOURCES = {"small.c": "int small(void) { return 1; }\n", "small.h": ""}


def test_source_from_an_archive(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "small-1.0/lib").mkdir(parents=True)
    for name, text in SOURCES.items():
        (tmp_path / "small-1.0/lib" / name).write_text(text, encoding="utf-8")
    archive = tmp_path / "small-1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "small-1.0", "small-1.0")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    recipe = lab.small_library(BuildSystem.SOURCES, {}, compile=("*.c",))
    right = UrlSource(url=archive.as_uri(), sha256=digest, path="lib")
    assert (lab.build(replace(recipe, source=right)) / "lib/libsmall.a").is_file()
    with pytest.raises(DownloadError, match="small"):
        lab.build(replace(recipe, source=replace(right, sha256="1" * 64)))


def test_a_promise_that_is_not_kept(lab: Lab) -> None:
    recipe = lab.small_library(BuildSystem.SOURCES, SOURCES, compile=("*.c",), archives=("libsmall.a", "libmore.a"))
    with pytest.raises(JobError, match=r"lib/libmore\.a is not there"):
        lab.build(recipe)
    assert not library_prefix(recipe, lab.tools(Arch.AARCH64), lab.cache).exists()


def test_a_pc_file_that_leads_to_the_host(lab: Lab) -> None:
    text = "prefix=/usr\nName: small\nDescription: s\nVersion: 1\nCflags: -I/opt/host/include\n"
    files = {
        **SOURCES,
        "small.pc": text,
        "configure": "#!/bin/sh\n",
        "Makefile": """
all:
\tcc -c small.c && ar rcs libsmall.a small.o
install:
\tinstall -D small.h $(DESTDIR)/usr/include/small.h
\tinstall -D libsmall.a $(DESTDIR)/usr/lib/libsmall.a
\tinstall -D small.pc $(DESTDIR)/usr/lib/pkgconfig/small.pc
""",
    }
    recipe = lab.small_library(BuildSystem.AUTOTOOLS, files, pkg_config=("small",))
    (lab.cache / "crates" / f"small-sys-1.0.0-{'0' * 16}" / "configure").chmod(0o755)
    with pytest.raises(JobError, match=r"pkg-config small leads elsewhere.*/opt/host/include"):
        lab.build(recipe)


def test_a_compiler_error_names_the_library_and_the_log(lab: Lab) -> None:
    recipe = lab.small_library(BuildSystem.SOURCES, {**SOURCES, "small.c": "syntax error\n"}, compile=("*.c",))
    with pytest.raises(JobError, match="the C library small") as caught:
        lab.build(recipe)
    assert caught.value.log == lab.log
    assert "small.c:1:1: error:" in caught.value.tail


def test_two_at_once_build_once(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = lab.small_library(BuildSystem.SOURCES, SOURCES, compile=("*.c",))
    real, builds = libraries._BUILDERS[BuildSystem.SOURCES], []

    def counted(build: libraries._Build) -> None:
        builds.append(build.recipe.name)
        real(build)

    monkeypatch.setattr(libraries, "_BUILDERS", {BuildSystem.SOURCES: counted})
    prefixes: list[Path] = []
    threads = [threading.Thread(target=lambda: prefixes.append(lab.build(recipe))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert builds == ["small"]
    assert len(prefixes) == 3
    assert len(set(prefixes)) == 1


def test_waiting_for_another_build_ends_when_cancelled(lab: Lab) -> None:
    recipe = lab.small_library(BuildSystem.SOURCES, SOURCES, compile=("*.c",))
    prefix = library_prefix(recipe, lab.tools(Arch.AARCH64), lab.cache)
    prefix.parent.mkdir(parents=True)
    canceller = Canceller()
    with locked(prefix.with_name(f".{prefix.name}.lock"), Canceller()):
        threading.Timer(0.2, canceller.cancel).start()
        with pytest.raises(Cancelled):
            lab.build(recipe, canceller)


def test_a_missing_program_is_told_before_anything_is_fetched(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MachineError, match="perl is not on this machine"):
        lab.build(load_library("openssl"))


# ---- crates


@pytest.fixture
def cargo() -> Path:
    rust = find_rust(SHARED_CACHE)
    assert rust is not None
    return rust.cargo


def zlib_source() -> CrateSource:
    source = load_library("zlib").source
    assert isinstance(source, CrateSource)
    return source


def test_a_crate_that_is_not_what_the_recipe_says(lab: Lab, cargo: Path) -> None:
    source = replace(zlib_source(), sha256="f" * 64)
    with pytest.raises(DownloadError, match=r"libz-sys 1\.1\.31: its sha256 is ff20308.*, the recipe says ffff"):
        fetch_crate(source, cargo=cargo, cache=lab.cache, log=lab.log, canceller=Canceller(), offline=False)
    assert list((lab.cache / "crates").iterdir()) == []


def test_offline_without_the_crate(tmp_path: Path, cargo: Path) -> None:
    cache, log = tmp_path / "empty", tmp_path / "log"
    with pytest.raises(DownloadError, match="cannot be fetched") as caught:
        fetch_crate(zlib_source(), cargo=cargo, cache=cache, log=log, canceller=Canceller(), offline=True)
    assert caught.value.hint is not None
    assert "--offline" in caught.value.hint


def test_prefetched_crates_are_enough_for_an_offline_build(lab: Lab, tmp_path: Path, cargo: Path) -> None:
    package = tmp_path / "package/rust"
    (package / "src").mkdir(parents=True)
    (package / "src/lib.rs").write_text("pub use adler2::adler32_slice;\n", encoding="utf-8")
    manifest = '[package]\nname = "x"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\nadler2 = "=2.0.0"\n'
    (package / "Cargo.toml").write_text(manifest, encoding="utf-8")
    home = lab.cache / "cargo"

    def prefetch() -> None:
        prefetch_crates(
            tmp_path / "package", cargo=cargo, cargo_home=home, log=lab.log, canceller=Canceller(), offline=False
        )

    prefetch()
    environment = base_environment({"CARGO_HOME": str(home), "CARGO_NET_OFFLINE": "true", "HOME": str(Path.home())})
    subprocess.run([cargo, "check", "--locked"], cwd=package, env=environment, check=True, capture_output=True)

    # a lock that does not fit the manifest is no reason to fail: the package's own build would not mind either
    (package / "Cargo.toml").write_text(manifest.replace("=2.0.0", "=2.0.1"), encoding="utf-8")
    prefetch()
    subprocess.run([cargo, "check", "--locked"], cwd=package, env=environment, check=True, capture_output=True)


def test_crates_that_do_not_exist(lab: Lab, tmp_path: Path, cargo: Path) -> None:
    (tmp_path / "lib.rs").touch()
    manifest = '[package]\nname = "x"\nversion = "0.0.0"\n[lib]\npath = "lib.rs"\n[dependencies]\nadler2 = "=77.0.0"\n'
    (tmp_path / "Cargo.toml").write_text(manifest, encoding="utf-8")
    with pytest.raises(DownloadError, match=r"Cargo\.toml: its crates cannot be fetched") as caught:
        prefetch_crates(
            tmp_path,
            cargo=cargo,
            cargo_home=lab.cache / "cargo",
            log=lab.log,
            canceller=Canceller(),
            offline=False,
        )
    assert "adler2" in caught.value.tail
