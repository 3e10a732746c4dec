"""Begin a server in a copy of a loaded process: give it the streams and the environment of this one."""

import json
import os
import socket
import sys

with socket.socket(socket.AF_UNIX) as asking:
    asking.connect(sys.argv[1])
    asked = {"arguments": sys.argv[2:], "environ": dict(os.environ), "folder": os.getcwd()}  # noqa: PTH109
    socket.send_fds(asking, [json.dumps(asked).encode()], [0, 1, 2])
    for number in range(3):
        os.close(number)
    os._exit(int(asking.recv(10) or b"1") & 255)
