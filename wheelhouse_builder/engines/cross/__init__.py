"""The embedded engine: zig and Rust cross-compile, no container, no target interpreter."""
