"""A tap for tests: its `config` holds its catalog and, as `run`, the code of what it does."""
import json
import os
import sys
import time


def argument(name):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None


config = json.load(open(argument("--config")))
if "--discover" in sys.argv:
    print(json.dumps(config["catalog"]))
    sys.exit(0)
catalog = json.load(open(argument("--catalog"))) if argument("--catalog") else None
old_state = json.load(open(argument("--state"))) if argument("--state") else None
state_text = open(argument("--state")).read() if argument("--state") else None


def say(text):
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def line(text):
    sys.stdout.write(text + "\n")


def put(kind, **members):
    line(json.dumps({"type": kind, **members}))


def schema(properties=None, stream="items"):
    properties = properties or {"id": {"type": "integer"}}
    put("SCHEMA", stream=stream, schema={"type": "object", "properties": properties}, key_properties=["id"])


def record(value, stream="items", **more):
    put("RECORD", stream=stream, record=value, **more)


def state(value):
    put("STATE", value=value)


def ids(first, last):
    for number in range(first, last + 1):
        record({"id": number})


exec(config["run"])
