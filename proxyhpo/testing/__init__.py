"""Test cases that every plug-in must pass: subclass them, and give one fixture."""
