from __future__ import annotations

import pytest

from wheelhouse_builder.redact import redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:secret@host/simple", "https://***@host/simple"),
        ("https://me:p@ss@host/simple", "https://***@host/simple"),
        ("https://token@host:8080/x", "https://***@host:8080/x"),
        ("x @ git+https://me:secret@host/x.git@main (line 1)", "x @ git+https://***@host/x.git@main (line 1)"),
        ("https://host/x.whl?sig=secret#sha256=1", "https://host/x.whl?***#sha256=1"),
        ("me@example.com https://host/x@1.0", "me@example.com https://host/x@1.0"),
    ],
)
def test_secrets_are_left_out_and_the_rest_is_kept(text: str, shown: str) -> None:
    assert redact(text) == shown
