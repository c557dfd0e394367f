#!/usr/bin/env python3
"""Takes a file of posts in, over one connection, and prints those that became alerts.

    SEALPRINT_API_KEY=… examples/post.py posts.ndjson

Each line of the file is {"id", "text", "seen_at", "thread", "media"}; all but the id are optional.
Answers come in the order of the posts, while more are sent: the server takes no more than it can
look up, and the connection makes the sender wait. Standard library only.
"""
import http.client
import json
import os
import sys
import threading
import urllib.parse


def main(path):
    url = urllib.parse.urlsplit(os.environ.get("SEALPRINT_URL", "http://127.0.0.1:8080"))
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(url.hostname, url.port)
    connection.putrequest("POST", url.path.rstrip("/") + "/v1/posts")
    connection.putheader("Authorization", "Bearer " + os.environ["SEALPRINT_API_KEY"])
    connection.putheader("Content-Type", "application/x-ndjson")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()

    def send():
        with open(path, "rb") as posts:
            for line in posts:
                line = line.strip()
                if line:
                    line += b"\n"
                    connection.send(b"%x\r\n%s\r\n" % (len(line), line))
        connection.send(b"0\r\n\r\n")

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    answer = connection.getresponse()
    if answer.status != 200:
        sys.exit(f"{answer.status}: {answer.read().decode()}")
    taken = failed = alerts = 0
    for line in answer:
        result = json.loads(line)
        if "status" in result:  # a problem, with the id of the post if it had one
            failed += 1
            print(f"{result.get('id', '?')}: {result['title']}", file=sys.stderr)
            continue
        taken += 1
        if result["alert_ids"]:
            alerts += 1
            print(json.dumps(result))
    sender.join()
    print(f"{taken} taken, {alerts} with alerts, {failed} refused", file=sys.stderr)
    return 3 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
