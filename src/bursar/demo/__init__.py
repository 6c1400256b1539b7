"""What people try Bursar with: example invoices charged in the sandbox."""
