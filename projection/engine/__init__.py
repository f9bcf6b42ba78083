"""The engine: lanes that fold batches of events through programs and commit what comes of them."""
