"""A simulated world with exact ground truth: frames, depth, masks and tracks."""
