"""What the file and the back office say is to be watched, checked before anything is asked."""
