"""Frames to landmarks to cues to a sync score. The only room that knows MediaPipe."""
