"""Ports are free, all different, and the usual ones where those are."""

import socket

from framehouse.cli.stack.ports import HOST, free_ports


def listener() -> socket.socket:
    found = socket.socket()
    found.bind((HOST, 0))
    found.listen()
    return found


def test_the_usual_port_is_taken_where_it_is_free() -> None:
    with listener() as one:
        port = one.getsockname()[1]
    assert free_ports({"gateway": port}) == {"gateway": port}


def test_another_port_is_found_where_the_usual_one_is_taken() -> None:
    with listener() as one:
        port = one.getsockname()[1]
        found = free_ports({"gateway": port, "http": port})
    assert len({port, *found.values()}) == 3
    for free in found.values():
        with socket.socket() as probe:
            probe.bind((HOST, free))


def test_a_pair_lies_ten_thousand_apart() -> None:
    found = free_ports({"admin": None, "admin+10000": None})
    assert found["admin+10000"] == found["admin"] + 10_000
