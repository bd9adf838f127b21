"""The images that tests run, and how they are packed."""
