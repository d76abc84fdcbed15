"""A target for tests: adds the records that it gets to a file, and gives back the state behind them."""
import json
import sys

config = json.load(open(sys.argv[sys.argv.index("--config") + 1]))
lines = []


def store():
    """Reads all messages; true states are given back when everything is stored."""
    state = None
    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "STATE":
            state = message["value"]
        else:
            lines.append(line)
    with open("stored.jsonl", "a") as out:
        out.writelines(lines)
    return state


def confirm(state):
    if state is not None:
        print(json.dumps(state))


exec(config.get("run", "confirm(store())"))
