"""For trying things out without a carrier or a phone: both are real SIP over real sockets."""
