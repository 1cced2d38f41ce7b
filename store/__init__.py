"""Tables by area, migrations, and the database they live in."""
