"""What runs in the image: the checksum of a text that has a known one."""

from company_extension import fletcher16

assert fletcher16(b"abcde") == 0xC8F0
print("ok")
