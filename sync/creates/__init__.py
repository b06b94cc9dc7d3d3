"""What is made beside a registration's record, once: account, contact, partner, line item."""
