"""Video diffusion models behind one small interface (`base.py`): LTX-Video, LTX-2, and random-weight miniatures of both.

    backbone = find_backbone("Lightricks/LTX-Video-0.9.5")       # find.py: a hub id, a local folder, or tiny:ltx-video, tiny:ltx-2
    codec = backbone.codec(torch.bfloat16, "cuda")               # pixels to latents and back
    caption = backbone.caption("3d1t")                           # one embedding; the text encoder is freed again
    stream = backbone.stream(torch.bfloat16, "cuda", "shared")   # the transformer, ready for in-context tokens
    stream.use(adapter)                                          # adapters.py: one of any number, swapped in milliseconds
    model = stream.sampling(caption)                             # for `synclora.incontext.sampler`

Layout suffixes: see `synclora.incontext`.
"""
