"""The words of the design as values: ids, keys, subjects, envelopes, checkpoints, the manifest and the settings."""
