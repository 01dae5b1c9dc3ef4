"""What an adapter does, in numbers; `measure.py` and `ablation.py` beside this room are the commands.

sets.py             the clips that are measured: unseen motion, unseen faces, real videos
make.py             their videos: with the adapter, without it, and what these are held beside
score.py            what a video is worth beside its source
stats.py            means with intervals over clips and seeds
result.py           one measured video
report.py           numbers.json, numbers.md, contact.png
ablation_sets.py    the ablation's training sets: one measured pool, six filters
"""
