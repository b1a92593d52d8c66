"""What comes from outside, checked before it has its final name: files, archives, source trees."""
