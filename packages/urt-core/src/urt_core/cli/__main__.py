"""`python -m urt_core.cli`: the same as `urt`."""

from urt_core.cli import console_main

console_main()
