"""Benchmarks: the exchange beside the programs it is measured against, as ratios.

``python -m bench`` prints the table; every row pairs two systems in one run, interleaved,
because absolute times on a shared machine mean little.
"""
