"""Does with an AgentToken what each line of standard input says, and answers with a line.

get, a number of threads that get at once, or refused TOKEN.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.environ["EXAMPLE"])
from agent_token import AgentToken  # noqa: E402

tokens = AgentToken(os.environ["ENDPOINT"], "https://searcher.example.com", "a planner", os.environ["SECRET_FILE"], "search")


def get(_=None):
    try:
        return tokens.get()
    except OSError as problem:
        return "error " + type(problem).__name__


for line in sys.stdin:
    verb, _, rest = line.strip().partition(" ")
    if verb == "get":
        print(get(), flush=True)
    elif verb == "refused":
        tokens.refused(rest)
        print("ok", flush=True)
    else:
        with ThreadPoolExecutor(int(verb)) as threads:
            print(" ".join(sorted(set(threads.map(get, range(int(verb)))))), flush=True)
