"""Makes Cardea's model files from their upstream files. Offline tool; the daemon never runs it."""
