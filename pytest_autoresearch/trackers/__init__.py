"""Experiment trackers: stores elsewhere in which the experiments of a session are shown beside others."""
