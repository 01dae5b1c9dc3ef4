"""One edit, whole: a source video and its edited first frame in, the edited video out, with its sync report.

    from synclora.edit.edit import edit
    result = edit("source.mp4", "first.png", out="edited.mp4", adapter="out/may-lora/adapter", seed=1)
    print(result.report.score)

    python -m synclora.edit source.mp4 first.png --out edited.mp4

This file imports nothing: who only asks for edits, as the service's door does, needs no torch.
"""
