"""Programs that measure; each prints a ratio against a limit measured in the same run."""
