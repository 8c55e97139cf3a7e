"""What people look at: views of a session's ledger, each of which can be made anew at any time."""
