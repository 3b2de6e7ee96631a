"""What the kernel is asked to tell as it happens: data flow, transactions, starts, opens."""
