"""What every run stands on: processes and devices, its folder, lock and identity, metrics and loggers."""
