"""What a system does to a run: kills, full disks, signals, clocks, locks, no memory."""
