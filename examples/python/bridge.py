"""Prints, for each mapping, how many members agree, and why the others do not.

SERVICE=http://localhost:8080 KEY=cs_... python bridge.py
"""

import os
import sys

from campaign_sync_client import AuthenticatedClient
from campaign_sync_client.api.mappings import list_mappings, show_mapping
from campaign_sync_client.models import ListMapping, MappingDetail
from campaign_sync_client.types import UNSET

client = AuthenticatedClient(
    base_url=os.environ.get("SERVICE", "http://localhost:8080"), token=os.environ["KEY"]
)

cursor = UNSET
while True:
    page = list_mappings.sync(client=client, cursor=cursor, limit=100)
    if not isinstance(page, ListMapping):
        sys.exit(f"the mappings are not told: {page}")
    for listed in page.data:
        mapping = show_mapping.sync(client=client, id=listed.id)
        if not isinstance(mapping, MappingDetail):
            sys.exit(f"the mapping is not told: {mapping}")
        bridge = mapping.bridge
        print(
            f"{mapping.program_name} = {mapping.campaign_name}: {bridge.in_sync} in sync, "
            f"of {bridge.marketo_members} and {bridge.salesforce_members}"
        )
        for side in (bridge.only_marketo, bridge.only_salesforce, bridge.different):
            print(side.to_dict())
    cursor = page.next_cursor
    if not cursor:
        break
