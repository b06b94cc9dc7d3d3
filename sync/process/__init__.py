"""What every process of the worker stands on: its runtime, leases, schedule and claims."""
