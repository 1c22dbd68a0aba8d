"""A study, whatever paper it is about: protocol, test-set access log, results by condition, verdicts, ledger."""
