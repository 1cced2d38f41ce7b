"""What the RFCs ask of the SIP side, seen from outside."""
