"""Small networks, archives, files and commands that tests share."""
