from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name
from pip._internal.exceptions import CommandError
from pip._internal.models.format_control import FormatControl as PipFormatControl

from wheelhouse_builder.errors import UsageError
from wheelhouse_builder.requirements.format_control import FormatControl

NAMES = st.sampled_from(["cffi", "CFFI", "foo.bar", "foo-bar", ":all:", ":none:", ""])
VALUES = st.lists(NAMES, min_size=1, max_size=4).map(",".join) | st.just("-x")
USES = st.lists(st.tuples(st.sampled_from(["no-binary", "only-binary"]), VALUES), max_size=5)


@given(uses=USES, name=st.sampled_from(["cffi", "Foo_Bar", "other"]))
def test_format_control_is_pips(uses: list[tuple[str, str]], name: str) -> None:
    pip = PipFormatControl()
    try:
        for option, value in uses:
            sets = (pip.no_binary, pip.only_binary) if option == "no-binary" else (pip.only_binary, pip.no_binary)
            PipFormatControl.handle_mutual_excludes(value, *sets)
    except CommandError:
        with pytest.raises(UsageError):
            FormatControl().apply(uses)
        return
    ours = FormatControl().apply(uses)
    assert ours == FormatControl(frozenset(pip.no_binary), frozenset(pip.only_binary))
    allowed = pip.get_allowed_formats(canonicalize_name(name))
    assert (ours.allows_wheel(name), ours.allows_sdist(name)) == ("binary" in allowed, "source" in allowed)
