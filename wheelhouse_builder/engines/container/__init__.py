"""The container engine: real cibuildwheel in docker or podman."""
