"""What runs use: sampled by their runners, shown as series."""
