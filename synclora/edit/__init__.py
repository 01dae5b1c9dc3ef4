"""One edit, whole: a source video and its edited first frame in, the edited video out, with its sync report.

    from synclora.edit.edit import edit
    result = edit("source.mp4", "first.png", out="edited.mp4", adapter="out/may-lora/adapter", seed=1)
    print(result.report.score)

    python -m synclora.edit source.mp4 first.png --out edited.mp4

What happens to a request, file by file:

library.py, header.py    adapters by their headers
plan.py                  the request made definite, on the way:
fit.py, warp.py          the first frame brought onto the source's
geometry.py              sizes
windows.py               clips longer than the model sees
attempt.py               one seed: the source streamed through the windows into a video, by
engine.py                the model in memory
judge.py, score.py       curation's scorer on source and edit
editor.py                all of it; edit.py is one call, __main__.py the command line
request.py, settings.py, progress.py, result.py    what goes in, and what comes out; teller.py reports on the way

This file imports nothing: who only asks for edits, as the service's door does, needs no torch.
"""
