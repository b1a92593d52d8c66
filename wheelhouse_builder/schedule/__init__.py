"""What runs when: a ready queue, longest remaining path first, and executors."""
