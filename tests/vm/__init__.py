"""What only a machine of its own can show: systemd, nothing but cgroup v2, and a reset."""
