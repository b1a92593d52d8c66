"""What a small web service does with passwords, by cffi and the C library: prints `ok`."""

from cffi import FFI  # type: ignore[import-untyped]

ffi = FFI()
ffi.cdef("char *crypt(const char *key, const char *salt);")
libc = ffi.dlopen(None)
hashed = ffi.string(libc.crypt(b"correct horse", b"$6$battery$"))
assert ffi.string(libc.crypt(b"correct horse", hashed)) == hashed
assert ffi.string(libc.crypt(b"battery staple", hashed)) != hashed
print("ok")
