"""A study of any paper: protocol, test-set access log, results by condition, claims, verdicts, ledger."""
