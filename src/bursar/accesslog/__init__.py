"""Access logs of any size read in constant memory, exactly."""
