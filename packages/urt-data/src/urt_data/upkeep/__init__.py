"""Folders of shards over the years: proven sound, repaired where they are not, given the index that they lack."""
