"""The process that runs the local model: a program, not a module. Nothing of Netra can be imported here.

It reads one line of JSON from standard input, serves OpenAI's chat completions, and writes its address as one line to
standard output. It ends when standard input does: with the process that started it, however that ends.
"""

from __future__ import annotations

import json
import os
import sys


def main() -> None:
    wanted = json.loads(sys.stdin.buffer.readline())
    # What the library prints is its log; the address goes where the log does not.
    answer = os.dup(1)
    os.dup2(2, 1)
    sys.path.insert(0, wanted["folder"])
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = wanted["weights"]
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.api_keys = [wanted["key"]]
    parameters.ui = False
    parameters.endpoint_slots = wanted["slots_endpoint"]
    parameters.n_parallel = wanted["slots"]
    parameters.n_ctx = wanted["slots"] * wanted["context_tokens"]
    parameters.n_predict = wanted["answer_tokens"]
    # A request that is given up ends at the end of a batch.
    parameters.n_batch = parameters.n_ubatch = wanted["batch_tokens"]
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = wanted["threads"]
    parameters.n_gpu_layers = 0
    parameters.cache_ram_mib = 0
    parameters.sampling.temp = 0.2
    parameters.sampling.top_p = 0.9
    server = xllamacpp.Server(parameters)
    os.write(answer, server.listening_address.encode() + b"\n")
    sys.stdin.buffer.read()
    # The library's threads may be in the middle of an answer: nobody waits for it.
    os._exit(0)


if __name__ == "__main__":
    main()
