"""The claims ledger: what the founding document claims, each bound to a check and a verdict."""
