"""What tests of several areas share: a snapshot of the host, an engine of one's own, peers."""
