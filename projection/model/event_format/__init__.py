"""Where each part of an event is found in a message: what the manifest's `events` says, and the reader made of it."""
