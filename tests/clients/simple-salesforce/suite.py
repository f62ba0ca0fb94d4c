"""simple-salesforce against the emulated Salesforce. See tests/clients/README.md."""

import json
import os
import unittest
from urllib.parse import urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce

EMULATORS = json.loads(os.environ["EMULATORS"])


class Emulated(HTTPAdapter):
    """Sends what is meant for Salesforce, over TLS at any of its hosts, to the emulator: the client builds those addresses itself."""

    def send(self, request, **kwargs):
        here, there = urlsplit(EMULATORS["salesforce"]), urlsplit(request.url)
        request.url = urlunsplit(here[:2] + there[2:])
        return super().send(request, **kwargs)


def session():
    session = requests.Session()
    session.mount("https://", Emulated())
    return session


class Login(unittest.TestCase):
    def test_with_client_credentials(self):
        sf = Salesforce(
            domain="acme.my",
            consumer_key=EMULATORS["salesforce_client_id"],
            consumer_secret=EMULATORS["salesforce_client_secret"],
            session=session(),
        )
        self.assertFalse(sf.is_sandbox())


if __name__ == "__main__":
    unittest.main()
