"""What a small web service does with its secrets, to show that the wheels work: prints one `ok` line for each."""

from __future__ import annotations

import logging

import cffi
from cryptography.fernet import Fernet
from jose import jwt
from passlib.hash import bcrypt

# passlib reads bcrypt.__about__, which bcrypt 4.1 dropped, and logs a traceback; it works all the same.
logging.getLogger("passlib").setLevel(logging.ERROR)


def hash_password() -> None:
    """bcrypt, through passlib."""
    hashed = bcrypt.using(rounds=4).hash("correct horse")
    assert bcrypt.verify("correct horse", hashed)
    assert not bcrypt.verify("battery staple", hashed)


def encrypt() -> None:
    """Fernet: cryptography with its OpenSSL."""
    box = Fernet(Fernet.generate_key())
    assert box.decrypt(box.encrypt(b"secret")) == b"secret"


def sign_token() -> None:
    """A JSON web token by python-jose, on top of cryptography."""
    token = jwt.encode({"sub": "me"}, "key", algorithm="HS256")
    assert jwt.decode(token, "key", algorithms=["HS256"]) == {"sub": "me"}


def call_back() -> None:
    """C calls Python: libffi's closures, in cffi."""
    ffi = cffi.FFI()
    ffi.cdef("void qsort(void *base, size_t count, size_t size, int (*compare)(const void *, const void *));")
    numbers = ffi.new("int[]", [3, 1, 2])

    @ffi.callback("int(const void *, const void *)")
    def compare(left: object, right: object) -> int:
        return int(ffi.cast("int *", left)[0] - ffi.cast("int *", right)[0])

    ffi.dlopen(None).qsort(numbers, 3, ffi.sizeof("int"), compare)
    assert list(numbers) == [1, 2, 3]


def main() -> None:
    """Run all four."""
    for work in (hash_password, encrypt, sign_token, call_back):
        work()
        print(f"ok {work.__name__}")


if __name__ == "__main__":
    main()
