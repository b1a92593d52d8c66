from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime

from hypothesis import given
from hypothesis import strategies as st

from wheelhouse_builder.toml import toml_value

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT | st.dates(min_value=date(1, 1, 1)),
    lambda values: st.lists(values) | st.dictionaries(TEXT, values),
    max_leaves=20,
)


@given(VALUES)
def test_a_value_is_read_as_it_was_written(value: object) -> None:
    assert tomllib.loads(f"value = {toml_value(value)}")["value"] == value


def test_times_keep_their_zone() -> None:
    assert toml_value(datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2025-01-02T03:04:05+00:00"
