"""What ships for tests: contracts that every back end keeps, and generators of events."""
