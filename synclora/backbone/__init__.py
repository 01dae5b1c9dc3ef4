"""Video diffusion models behind one small interface (`base.py`): LTX-Video, LTX-2, a small one of our own, and random-weight miniatures.

    backbone = find_backbone("Lightricks/LTX-Video-0.9.5")       # find.py: a hub id, a local folder, embedded, or tiny:ltx-video, tiny:ltx-2
    codec = backbone.codec(torch.bfloat16, "cuda")               # pixels to latents and back
    caption = backbone.caption("3d1t")                           # one embedding; the text encoder is freed again
    stream = backbone.stream(torch.bfloat16, "cuda", "shared")   # the transformer, ready for in-context tokens
    stream.use(adapter)                                          # adapters.py: one of any number, swapped in milliseconds
    model = stream.sampling(caption)                             # for `synclora.incontext.sampler`

A folder can say more than diffusers' layout does: what it was trained on, its one caption, adapters that come with it (`folder.py`).

Layout suffixes: see `synclora.incontext`.
"""
