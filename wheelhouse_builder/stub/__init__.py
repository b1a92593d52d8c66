"""Stubs: small sdists that hold no source and resolve to the wheels of a wheelhouse."""

BACKEND = "stub_backend"  # [build-system] build-backend of a stub, which holds it as a file
FACTS = "stub.json"  # what a stub stands for
