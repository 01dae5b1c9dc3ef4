"""The paper's core: token layout, positions, attention, flow loss, sampler. Over torch alone; knows no model and no file.

    tokens = lay_out(source_bnc, noised_bnc, sigma_b, clean_bn, grid)       # layout.py: what one transformer call sees
    loss_b = flow_loss(velocity_bnc, clean_bnc, noise_bnc, clean_bn)        # flow.py: what training asks of it
    edited_bnc = sample(model, source_bnc, given, grid, settings)           # sampler.py: what editing makes of it

Letters of the layout suffixes, used in the whole room and in `synclora.backbone`:

    b batch    n tokens of one stream (source or target)    s tokens of the sequence, [source ; target]
    c latent channels    h heads    e channels of a head    l caption tokens    d caption channels
    f, y, x latent frames, rows, columns    a axes (time, row, column)    z start and end
"""
