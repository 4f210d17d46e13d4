"""What a job's interpreter gets before its script."""
