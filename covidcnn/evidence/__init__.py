"""The evidence on the paper's claims: a protocol fixed beforehand, its trials, statistics and verdicts."""
