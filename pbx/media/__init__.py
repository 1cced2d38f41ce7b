"""Sound and pictures: SDP, RTP ports, SRTP, and the two paths a stream can take.

Relay: packets pass from leg to leg untouched. Port: a leg talks to an app through a jitter
buffer, PCM and an encoder clocked at 20 ms.
"""
