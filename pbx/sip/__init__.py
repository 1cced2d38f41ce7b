"""SIP, with the names and layers of RFC 3261: message → transport → transaction → dialog."""
