"""Which manifests crates are fetched for, and what of the user's cargo configuration counts."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from wheelhouse_builder.engines.cross.crates import prepare_cargo_home, rust_manifests
from wheelhouse_builder.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


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
