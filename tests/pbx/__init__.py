"""Tests of the exchange: SIP, media and calls, each file named after what it tests."""
