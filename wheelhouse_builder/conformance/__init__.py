"""Whether an index keeps to the simple repository API: every MUST and SHOULD, asked over HTTP or read from a folder."""
