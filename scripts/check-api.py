"""Waits until the shop at this URL is ready, and creates a user with an event and tickets.

Prints the cookie of the user's session. Standard library only.
"""

import json
import sys
import time
import urllib.error
import urllib.request

URL = sys.argv[1]
READY_WITHIN_SECONDS = 60


def ask(path, body, cookie=""):
    headers = {"Content-Type": "application/json", "Cookie": cookie}
    request = urllib.request.Request(URL + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers, json.load(answer)


def wait_until_ready():
    end = time.monotonic() + READY_WITHIN_SECONDS
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(URL + "/readyz", timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"{URL} was not ready within {READY_WITHIN_SECONDS} s")


wait_until_ready()
account = {"email": "checker@example.com", "password": "correct horse battery staple", "name": "Checker"}
headers, _ = ask("/api/user/signup", account)
cookie = headers["Set-Cookie"].split(";")[0]
event = {
    "title": "Late Show", "venue": "Old Hall", "city": "Leeds", "country": "GB",
    "startsAt": "2031-05-01T19:30:00Z", "timeZone": "Europe/London", "currency": "GBP",
}
_, made = ask("/api/events", event, cookie)
ask("/api/tickets/batch", {"eventId": made["id"], "priceMinor": 2500, "quantity": 20}, cookie)
print(cookie)
