"""Everything that is tested: the suite that users run (perf) and the tests of the harness itself."""
