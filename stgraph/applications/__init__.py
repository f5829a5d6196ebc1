"""What people do with whole models; a command each is above, and a program can call them too."""
