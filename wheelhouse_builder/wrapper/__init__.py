"""What the hooks of `wheelhouse_builder.backend` do: take the wheel from the wheelhouse, or have it built.

Each hook runs in a process of its own, so modules here import little, and the rest where it is needed.
"""
