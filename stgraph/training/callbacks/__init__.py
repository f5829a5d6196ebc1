"""What a fit does beside its steps: checkpoints, the end of a session, words on the screen."""
