"""Usage to settlement: accounts, prices, holds, usage, charges and their ledger."""
