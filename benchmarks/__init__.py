"""Measurements, each a command: figures are ratios within one run and never gate a test."""
