"""What builds an environment and tries its imports: programs that run inside a sandbox. Standard library only."""
