"""The log: an ordered, gap-free feed (`port`) from NATS JetStream, publishing to it, and an embedded server."""
