import os
import threading

from synclora.media import wire


def test_many_pieces_larger_than_the_pipe_arrive_in_order():
    read_end, write_end = os.pipe()
    pieces = [memoryview(bytes([k % 256]) * 700) for k in range(2500)]
    sender = threading.Thread(target=wire.send, args=(write_end, wire.FRAME, pieces))
    sender.start()
    with os.fdopen(read_end, "rb") as replies:
        kind, length = wire.HEADER.unpack(replies.read(wire.HEADER.size))
        body = replies.read(length)
    sender.join()
    os.close(write_end)
    assert kind == wire.FRAME
    assert body == b"".join(pieces)
