"""Events out of tables of PostgreSQL: published to a stream in the order of a key, once each, and followed."""
