"""Where packages are: the indexes that the requirements files and the user's environment name, as in pip."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wheelhouse_builder.requirements.model import RequirementSet

# What of the user's environment may steer uv: where packages are, and how to get in there.
# fmt: off
_INDEX_SETTINGS = frozenset({
    "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_INDEX_STRATEGY", "UV_FIND_LINKS",
    "UV_INSECURE_HOST", "UV_KEYRING_PROVIDER", "UV_SYSTEM_CERTS", "UV_HTTP_TIMEOUT", "NETRC", "HOME",
})
# fmt: on
_INDEX_CREDENTIALS = re.compile(r"UV_INDEX_\w+_(USERNAME|PASSWORD)")


def index_environment(requirements: RequirementSet) -> dict[str, str]:
    """The variables that tell uv where packages are: the user's for uv, else for pip, and what the files say.

    As in pip, an --index-url in a file beats the environment, and other options add to it. `--no-index` has no variable
    and is not in here.
    """
    found = {
        name: value
        for name, value in os.environ.items()
        if name in _INDEX_SETTINGS or _INDEX_CREDENTIALS.fullmatch(name)
    }
    for pips, uvs in (
        ("PIP_INDEX_URL", ("UV_DEFAULT_INDEX", "UV_INDEX_URL")),
        ("PIP_EXTRA_INDEX_URL", ("UV_INDEX", "UV_EXTRA_INDEX_URL")),
    ):
        if os.environ.get(pips) and not any(name in found for name in uvs):
            found[uvs[0]] = os.environ[pips]
    if requirements.values("index-url"):
        found.pop("UV_INDEX_URL", None)
        found["UV_DEFAULT_INDEX"] = requirements.values("index-url")[-1]
    for option, name, separator in (
        ("extra-index-url", "UV_INDEX", " "),
        ("find-links", "UV_FIND_LINKS", ","),
        ("trusted-host", "UV_INSECURE_HOST", " "),
    ):
        if requirements.values(option):
            found[name] = separator.join([*filter(None, [found.get(name)]), *requirements.values(option)])
    return found


def index_urls(requirements: RequirementSet) -> tuple[str, ...]:
    """The indexes that files and environment name, with their passwords: for `credentials_for`."""
    environment = index_environment(requirements)
    names = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL")
    urls = " ".join(environment.get(name, "") for name in names).split()
    return tuple(re.sub(r"^[\w-]+=", "", url) for url in urls)  # uv allows name=url
