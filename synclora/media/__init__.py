"""Bytes to frames and back. The only room that knows PyAV; video files are opened in a confined child process.

    from synclora.media.decode import Decoder
    from synclora.media.encode import write_video

This file imports nothing, so that the child starts quickly.
"""
