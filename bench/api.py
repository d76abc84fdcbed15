"""An API of one endpoint, `/rows?page=N`: the rows of a file of JSON lines, in pages.

`python api.py FILE ROWS_OF_A_PAGE PORT`. Every answer is made before the server listens, and sent on
connections that stay open, so that what is measured is the client. Prints a line when it listens.
"""

import asyncio
import re
import sys


def answers(path: str, page_rows: int) -> list[bytes]:
    with open(path, encoding="utf-8") as file:
        rows = file.read().splitlines()
    pages = [rows[first : first + page_rows] for first in range(0, len(rows), page_rows)]
    made = []
    for number, page in enumerate(pages, start=1):
        body = (f'{{"page": {number}, "pages": {len(pages)}, "rows": [' + ",".join(page) + "]}").encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        made.append(head.encode() + body)
    return made


async def serve(made: list[bytes], port: int):
    async def answer(reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                page = re.search(rb"[?&]page=(\d+)", head)
                writer.write(made[int(page.group(1)) - 1 if page else 0])
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    print("listening", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(answers(sys.argv[1], int(sys.argv[2])), int(sys.argv[3])))
