"""What the user asks for: requirements files, read once and by one set of rules, pip's.

What is read here is all that the resolver gets to see, so that the hashes which are enforced and the requirements which
are resolved can never come from two different readings of one file.
"""
