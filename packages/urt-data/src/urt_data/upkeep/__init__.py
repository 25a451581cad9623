"""Folders of shards over the years: proven sound, and repaired where they are not."""
