from __future__ import annotations

from typing import TYPE_CHECKING

from tests.locks import ask
from wheelhouse_builder.resolve.indexes import index_environment, index_urls

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_pips_index_settings_are_used_where_uv_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "UV_INSECURE_HOST",
        "UV_DEFAULT_INDEX",
        "UV_INDEX",
        "UV_INDEX_URL",
        "UV_EXTRA_INDEX_URL",
        "PIP_INDEX_URL",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:x@pip/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://a/simple https://b/simple")
    nothing = ask(tmp_path, "")
    assert index_urls(nothing) == ("https://me:x@pip/simple", "https://a/simple", "https://b/simple")
    monkeypatch.setenv("UV_INDEX", "mine=https://uv/simple")
    assert index_urls(nothing) == ("https://me:x@pip/simple", "https://uv/simple")
    monkeypatch.setenv("UV_FIND_LINKS", "/a")
    files = ask(
        tmp_path, "-i https://0\n-i https://file/simple\n--extra-index-url https://c\n-f https://b\n--trusted-host h"
    )
    assert index_urls(files) == ("https://file/simple", "https://uv/simple", "https://c")
    assert index_environment(files)["UV_FIND_LINKS"] == "/a,https://b"
    assert index_environment(files)["UV_INSECURE_HOST"] == "h"
