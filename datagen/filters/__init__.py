"""Filters: keep = True, drop = (False, reason, detail); duplicates are reported as matches."""
