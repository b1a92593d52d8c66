"""Which manifests crates are fetched for, and what of the user's cargo configuration counts."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from wheelhouse_builder.engines.cross import crates
from wheelhouse_builder.engines.cross.crates import (
    package_sources,
    prefetch_crates,
    prepare_cargo_home,
    rust_manifests,
)
from wheelhouse_builder.errors import DownloadError, UsageError
from wheelhouse_builder.process import Canceller


def tree(root: Path, *files: str) -> list[str]:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return [str(manifest.relative_to(root)) for manifest in rust_manifests(root)]


@pytest.mark.parametrize(
    ("files", "manifests"),
    [
        (["Cargo.toml", "Cargo.lock", "src/lib.rs"], ["Cargo.toml"]),
        (["pyproject.toml", "src/_bcrypt/Cargo.toml", "src/_bcrypt/Cargo.lock"], ["src/_bcrypt/Cargo.toml"]),
        (["Cargo.toml", "Cargo.lock", "member/Cargo.toml"], ["Cargo.toml"]),  # a workspace has one lock
        (["Cargo.toml", "python/Cargo.toml", "python/Cargo.lock"], ["Cargo.toml", "python/Cargo.toml"]),
        (["a/Cargo.toml", "b/Cargo.toml"], ["a/Cargo.toml", "b/Cargo.toml"]),
        (["pyproject.toml", "Cargo.lock"], []),
        (
            ["Cargo.toml", "Cargo.lock", "in/x/Cargo.toml", "in/x/Cargo.lock", "in/x/.cargo-checksum.json"],
            ["Cargo.toml"],
        ),
        (["vendor/serde/Cargo.toml", "target/x/Cargo.toml", ".git/Cargo.toml"], []),
    ],
)
def test_manifests(tmp_path: Path, files: list[str], manifests: list[str]) -> None:
    assert tree(tmp_path, *files) == manifests


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    assert tree(tmp_path, "a/Cargo.toml") == ["a/Cargo.toml"]


def home_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config: str) -> dict[str, Any]:
    user = tmp_path / "user/.cargo"
    user.mkdir(parents=True)
    (user / "config.toml").write_text(config, encoding="utf-8")
    monkeypatch.setenv("CARGO_HOME", str(user))
    prepare_cargo_home(tmp_path / "ours")
    return tomllib.loads((tmp_path / "ours/config.toml").read_text(encoding="utf-8"))


def test_mirrors_are_taken_over_and_compilers_are_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = """
        build.rustflags = ["-C", "target-cpu=native"]
        [source.crates-io]
        replace-with = "our mirror"
        [source."our mirror"]
        registry = "sparse+https://mirror.example/index/"
        [source.disk]
        directory = "crates"
        [target.aarch64-unknown-linux-musl]
        linker = "some-gcc"
        [http]
        cainfo = "/etc/ours.pem"
        multiplexing = false
        [net]
        retry = 5
    """
    assert home_for(monkeypatch, tmp_path, config) == {
        "source": {
            "crates-io": {"replace-with": "our mirror"},
            "our mirror": {"registry": "sparse+https://mirror.example/index/"},
            "disk": {"directory": str(tmp_path / "user/crates")},
        },
        "http": {"cainfo": "/etc/ours.pem", "multiplexing": False},
        "net": {"retry": 5},
    }


def test_a_changed_configuration_counts_next_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert home_for(monkeypatch, tmp_path, "net.retry = 1") == {"net": {"retry": 1}}
    (tmp_path / "user/.cargo/config.toml").unlink()
    prepare_cargo_home(tmp_path / "ours")
    assert (tmp_path / "ours/config.toml").read_text(encoding="utf-8") == ""


def test_a_broken_configuration_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"user/\.cargo/config\.toml"):
        home_for(monkeypatch, tmp_path, "[net")


def test_of_a_packages_configuration_only_sources_are_taken(tmp_path: Path) -> None:
    inner = tmp_path / "src/rust"
    for folder, text in (
        (tmp_path.parent, '[source.outside]\ndirectory = "x"\n'),
        (tmp_path, '[build]\nrustc = "./evil.sh"\n[source.crates-io]\nreplace-with = "here"\n'),
        (inner, '[source.here]\ndirectory = "vendor"\n[registry]\nglobal-credential-providers = ["./evil.sh"]\n'),
    ):
        (folder / ".cargo").mkdir(parents=True)
        (folder / ".cargo/config.toml").write_text(text, encoding="utf-8")
    assert package_sources(inner, tmp_path) == {
        "crates-io": {"replace-with": "here"},
        "here": {"directory": str(inner / "vendor")},
    }


@pytest.mark.parametrize("text", ["[source", "source = 5", "source.x = 5", "source.x.directory = 5"])
def test_a_packages_broken_configuration_fails_its_build_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / ".cargo").mkdir()
    (tmp_path / ".cargo/config").write_text(text, encoding="utf-8")
    with pytest.raises(DownloadError, match=r"\.cargo"):
        package_sources(tmp_path, tmp_path)


def test_cargo_fetches_where_a_package_cannot_steer_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package, home = tmp_path / "package", tmp_path / "home"
    tree(package, "Cargo.toml", "rust-toolchain.toml")
    (package / ".cargo").mkdir()
    (package / ".cargo/config.toml").write_text('[build]\nrustc = "x"\n[source.crates-io]\nreplace-with = "y"\n')
    places, configurations = [], []

    def run(argv: list[str], *, cwd: Path, **_: object) -> None:
        places.append(cwd)
        configurations.append(Path(argv[argv.index("--config") + 1]).read_text(encoding="utf-8"))

    monkeypatch.setattr(crates, "run", run)
    prefetch_crates(
        package,
        cargo=Path("cargo"),
        cargo_home=home,
        log=tmp_path / "log",
        canceller=Canceller(),
        offline=False,
    )
    assert [place.parent for place in places] == [home]
    assert [tomllib.loads(text) for text in configurations] == [{"source": {"crates-io": {"replace-with": "y"}}}]
