"""Stubs: small sdists that hold no source and resolve to the wheels of a wheelhouse."""
