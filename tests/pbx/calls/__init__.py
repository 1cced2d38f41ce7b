"""Tests of what calls are made of."""
