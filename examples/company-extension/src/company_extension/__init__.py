"""Fletcher's checksum of 16 bits."""

from company_extension._fletcher import fletcher16

__all__ = ["fletcher16"]
