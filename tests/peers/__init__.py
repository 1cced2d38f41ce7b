"""Telephony programs we did not write, driven from asyncio: the other side of every interop test.

Each module is one program; `proc` runs processes, `ports` finds ports, `tone` judges what was
heard, `rtp` is an independent media endpoint. Nothing here imports the product.
"""
