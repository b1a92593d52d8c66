"""What earlier runs came to: attempts, runs, and what can be learned from them."""
