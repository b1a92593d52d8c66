"""A short run of the fuzzer (`scripts/fuzz-requests` runs it for as long as one likes)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fuzzing import Fuzzer, make_house
from tests.integration.serve import whb_serve

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

REQUESTS = 400


@pytest.mark.parametrize("server", ["uvicorn", "granian"])
def test_no_request_gets_what_is_not_published_or_breaks_the_server(tmp_path: Path, server: str) -> None:
    house = make_house(tmp_path)
    options = ("--server", server, "--upload", "--tokens", str(tmp_path / "tokens.toml"))
    with whb_serve(house.root, tmp_path / "run", *options) as running:
        fuzzer = Fuzzer(port=running.port, seed=20261124)
        fuzzer.run(lambda number: number < REQUESTS)
        assert fuzzer.statuses[200]
        assert fuzzer.statuses[400]
        assert "Traceback" not in running.said
        assert running.process.poll() is None
