"""`urt bench`: public benchmarks and suites of bias and attack."""
