"""The exchange: SIP, media and calls. Knows nothing of chat, money or tables.

What it needs from the rest of the program it asks through the Protocols of `pbx.ports`;
what happens comes out as the typed events of `pbx.events`.
"""
