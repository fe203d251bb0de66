"""eoscale."""
