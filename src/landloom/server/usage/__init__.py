"""What an organization's workloads were, when they ran, and what they used up."""
