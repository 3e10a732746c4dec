"""A run's page, served on this machine while the run goes on."""
