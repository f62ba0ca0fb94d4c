"""Verifies one delivery with the official Standard Webhooks library: JSON with secret, headers and body on standard input."""

import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError

given = json.load(sys.stdin)
try:
    event = Webhook(given["secret"]).verify(given["body"], given["headers"])
except WebhookVerificationError as error:
    sys.exit(f"refused: {error}")
print(event["id"])
