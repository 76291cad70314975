"""The vocabulary every part shares: refusals, names, identifiers, quantities, money, clock. Standard library only."""
