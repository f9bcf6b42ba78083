"""The server: queries over HTTP, in the node's own event loop."""
