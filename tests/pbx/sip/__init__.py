"""Tests of the SIP layers."""
