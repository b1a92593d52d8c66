"""What our extras need, for a build environment that has this distribution already.

pip takes `wheelhouse-builder[build]` for installed there, whatever the extra needs: it looks at name and version alone
(`pip._internal.build_env.BuildEnvironment.check_requirements`).
"""

from __future__ import annotations

from importlib import metadata

from packaging.requirements import Requirement


def requirements_of(extra: str) -> list[str]:
    """The requirements that an extra adds to those of the distribution itself, on this interpreter."""
    found = []
    for requirement in map(Requirement, metadata.requires("wheelhouse-builder") or ()):
        marker = requirement.marker
        if marker and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""}):
            requirement.marker = None
            found.append(str(requirement))
    return found
