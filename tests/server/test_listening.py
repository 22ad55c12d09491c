import socket
from contextlib import closing

from sora2_mcp.server.web.serve import listening_socket


def test_answers_leave_at_once_instead_of_waiting_for_what_went_before_to_be_acknowledged() -> None:
    with listening_socket("127.0.0.1", 0) as listener, closing(socket.create_connection(listener.getsockname())):
        accepted, _ = listener.accept()
        with closing(accepted):
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
