"""The exchange against programs we did not write, media checked by tone on both sides."""
