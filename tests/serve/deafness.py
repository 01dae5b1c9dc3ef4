"""A connection to PostgreSQL that breaks at the worst moment: the server has committed, and the answer is lost."""

import socket
import threading
from contextlib import suppress

from sqlalchemy.engine import make_url


class Deaf:
    """Forwards a port; while `armed`, the next COMMIT is passed on, its answer awaited, and the connection closed without it."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self.armed = False
        self.lost = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The database by way of this."""
        port = self._listener.getsockname()[1]
        return self._url.set(port=port).render_as_string(hide_password=False)

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection((self._url.host, self._url.port))
            threading.Thread(target=self._forward, args=(server, client), daemon=True).start()
            threading.Thread(target=self._listen, args=(client, server), daemon=True).start()

    def _listen(self, client: socket.socket, server: socket.socket) -> None:
        """From the client to the server."""
        while data := _received(client):
            self._cut = self.armed and b"COMMIT" in data
            server.sendall(data)
        _end(client, server)

    def _forward(self, server: socket.socket, client: socket.socket) -> None:
        """From the server to the client."""
        while data := _received(server):
            if self._cut and b"COMMIT" in data:  # its answer: committed
                self._cut = self.armed = False
                self.lost += 1
                break
            client.sendall(data)
        _end(client, server)

    _cut = False


def _received(end: socket.socket) -> bytes:
    try:
        return end.recv(65536)
    except OSError:
        return b""


def _end(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)  # wakes the other thread, as closing would not
