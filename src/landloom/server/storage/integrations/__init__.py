"""Storage integrations: further S3 locations that an organization has registered."""
