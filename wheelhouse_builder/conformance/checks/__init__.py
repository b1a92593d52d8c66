"""The checks by area: every sentence of the specifications that an index can be seen to keep or to break."""
