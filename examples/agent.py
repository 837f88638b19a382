#!/usr/bin/env python3
"""A client of bpf-agent, as a model for clients in other languages; see bpf-agent(7).

usage: agent.py SOCKET list [GLOB]
       agent.py SOCKET get NAME... [-- COMMAND [ARGUMENT]...]
       agent.py SOCKET put NAME FD [LAYOUT]
       agent.py SOCKET remove NAME...
       agent.py SOCKET wait NAME...

get prints number, kind, id and access mode of each file descriptor, or runs COMMAND, which
inherits them as a command of bpf-exec does. Exit status: that of the command; 1 if a name is not
found; 2 on failure.
"""

import array, os, socket, struct, subprocess, sys

VERSION = 2
LIST, GET, PUT, REMOVE, INFO, WAIT = 1, 2, 3, 4, 5, 6  # operations
LAYOUTS = 1  # flag of LIST
MORE = 1  # flag of a reply
ABSENT = 3  # status
NUMBER = 1  # of every request, since each connection has only one
MAX_PACKET, MAX_FDS = 131072, 253
KINDS = {1: "map", 2: "prog", 3: "link"}
# The names in /proc. The name of a link depends on the version of the kernel.
LINKS = {"map": "bpf-map", "prog": "bpf-prog", "link": ("bpf_link", "bpf-link")}
ACCESS = ["-", "r", "w", "rw"]
STATES = ["memory", "pinned", "unused", "changed", "gone"]


class Failure(Exception):
    status = 2


class Ended(Exception):
    """The connection ended without a reply."""


class Packet:
    """Bytes that are consumed from the start. Numbers are in host order, without padding."""

    def __init__(self, data):
        self.data = data

    def take(self, form):
        size = struct.calcsize("=" + form)
        numbers = struct.unpack("=" + form, self.data[:size])
        self.data = self.data[size:]
        return numbers

    def string(self):
        (length,) = self.take("I")
        return self.take(f"{length}s")[0]

    def record(self):
        kind, access, _, state, id, *_ = self.take("4B10IQ")
        if kind not in KINDS or access >= len(ACCESS) or state >= len(STATES):
            raise Failure("a malformed record")
        return KINDS[kind], id, ACCESS[access], STATES[state], self.string(), self.string()


def string(data):
    return struct.pack("=I", len(data)) + data


def text(data):
    """Untrusted bytes, escaped for a terminal."""
    return ascii(data.decode("utf-8", "backslashreplace"))[1:-1]


def receive(connection, fds):
    """Receives a packet. Its file descriptors are added to `fds` even on failure, so that the caller
    closes them."""
    room = socket.CMSG_SPACE(4 * MAX_FDS)
    data, control, flags, _ = connection.recvmsg(MAX_PACKET, room, socket.MSG_CMSG_CLOEXEC)
    for level, kind, rights in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.extend(array.array("i", rights[: len(rights) // 4 * 4]))
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        raise Failure("a packet or its file descriptors were truncated")
    return data


def reply(connection, operation, fds):
    """Receives a whole reply, and returns its records."""
    records, more = [], True
    while more:
        before = len(fds)
        data = receive(connection, fds)
        if not data:
            raise Ended
        packet = Packet(data)
        version, status, flags, number = packet.take("BBHI")
        if (version, number) != (VERSION, NUMBER):
            raise Failure("not a reply to this request")
        if status:
            failure = Failure(text(packet.string()))
            failure.status = 1 if status == ABSENT else 2
            raise failure
        (count,) = packet.take("I")
        records += [packet.record() for _ in range(count)]
        if packet.data or len(fds) - before != (count if operation == GET else 0):
            raise Failure("a packet of the wrong length or with the wrong number of file descriptors")
        more = flags & MORE
    return records


def trust(connection):
    """Refuses an agent of another user if this is root: it could send any object under any name."""
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    _, uid, _ = struct.unpack("=iII", peer)
    if os.geteuid() == 0 and uid != 0:
        raise Failure(f"the agent runs as uid {uid}, which root does not trust")


def ask(path, operation, body, send=(), flags=0):
    """Sends a request, and returns the records and file descriptors of the reply."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", send))] if send else []
    for _ in range(5):
        fds = []
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
                connection.connect(path)
                trust(connection)
                header = struct.pack("=BBHI", VERSION, operation, flags, NUMBER)
                if send:
                    # The agent accepts fds once it has seen that this client may put.
                    name = string(Packet(body).string())
                    info = struct.pack("=BBHI", VERSION, INFO, 0, NUMBER)
                    connection.sendmsg([info, name])
                    receive(connection, fds)
                try:
                    connection.sendmsg([header, body], rights)
                except PermissionError:
                    # It does not accept them from this client: the reply is the reason.
                    connection.sendmsg([header, body])
                return reply(connection, operation, fds), fds
        except BaseException as error:
            for fd in fds:
                os.close(fd)
            if not isinstance(error, (Ended, ConnectionResetError, BrokenPipeError)):
                raise
    raise Failure("the agent closes the connection")


def check(fd, record, name):
    """Checks that a file descriptor is the object in its record, and that the record is for `name`."""
    kind, id, access, _, its_name, _ = record
    with open(f"/proc/self/fdinfo/{fd}") as file:
        info = dict(line.split(":", 1) for line in file if ":" in line)
    good = its_name == name and os.readlink(f"/proc/self/fd/{fd}").endswith(LINKS[kind])
    # O_RDONLY, O_WRONLY and O_RDWR are 0, 1 and 2; only maps have them.
    mode = ACCESS[(int(info["flags"], 8) & 3) + 1] if kind == "map" else "rw"
    if not good or int(info[kind + "_id"]) != id or mode != access:
        raise Failure(f"{text(name)}: file descriptor {fd} is not the object in the record")


def environment(records, fds):
    """The environment, with the variables of bpf-exec(1) instead of inherited ones."""
    old = (b"BPF_NUM_", b"BPF_MAP", b"BPF_PROG", b"BPF_LINK")
    variables = {name: value for name, value in os.environb.items() if not name.startswith(old)}
    numbers = {"map": 0}
    for (kind, _, _, _, name, layout), fd in zip(records, fds):
        number = numbers.get(kind, 0)
        numbers[kind] = number + 1
        variable = b"BPF_%s%d" % (kind.upper().encode(), number)
        variables |= {variable: b"%d" % fd, variable + b"_NAME": name}
        if layout:
            variables[variable + b"_LAYOUT"] = layout
    counts = {b"BPF_NUM_%sS" % kind.upper().encode(): b"%d" % n for kind, n in numbers.items()}
    return variables | counts


def get(path, names, command):
    records, fds = ask(path, GET, b"".join(map(string, names)))
    if len(records) != len(names):
        raise Failure("not the names that were asked for")
    for fd, record, name in zip(fds, records, names):
        check(fd, record, name)
        if not command:
            print(fd, *record[:3], text(name), sep="\t")
    if command:
        ended = subprocess.run(command, env=environment(records, fds), pass_fds=fds).returncode
        return ended if ended >= 0 else 128 - ended


def show(records):
    for kind, id, access, state, name, layout in records:
        print(text(name), kind, id, access, state, text(layout), sep="\t")


def main(arguments):
    path, verb, *words = [os.fsencode(word) for word in arguments]
    names = b"".join(map(string, words))
    if verb == b"list" and len(words) <= 1:
        show(ask(path, LIST, string(b"".join(words)), flags=LAYOUTS)[0])
    elif verb == b"get" and words:
        end = words.index(b"--") if b"--" in words else len(words)
        return get(path, words[:end], words[end + 1 :])
    elif verb == b"put" and len(words) in (2, 3):
        ask(path, PUT, string(words[0]) + string(b"".join(words[2:])), [int(words[1])])
    elif verb == b"remove" and words:
        for word in words:
            ask(path, REMOVE, string(word))
    elif verb == b"wait" and words:
        show(ask(path, WAIT, struct.pack("=I", 0) + names)[0])
    else:
        raise Failure("no such request: see --help")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        print(__doc__, end="")
        sys.exit(0 if sys.argv[1:] == ["--help"] else 2)
    try:
        sys.exit(main(sys.argv[1:]))
    except (Failure, OSError, ValueError, struct.error) as error:
        print(f"agent.py: {getattr(error, 'strerror', None) or error}", file=sys.stderr)
        sys.exit(getattr(error, "status", 2))
