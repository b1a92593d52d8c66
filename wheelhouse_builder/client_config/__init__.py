"""Ready-made settings of clients and web servers for one index."""
