"""What stages read and write as shards: the splits of the `data:` section, a teacher's traces, the judged pool."""
