// Prints, for each mapping, how many members agree, and why the others do not.
// SERVICE=http://localhost:8080 KEY=cs_... node out/bridge.js
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const { SERVICE = "http://localhost:8080", KEY = "" } = process.env;
const client = createClient<paths>({
  baseUrl: SERVICE,
  headers: { Authorization: `Bearer ${KEY}` },
});

let cursor: string | undefined;
do {
  const { data: page, error } = await client.GET("/api/v1/mappings", { params: { query: { cursor, limit: 100 } } });
  if (!page) throw new Error(`${error?.code}: ${error?.detail}`);
  for (const { id, program_name, campaign_name } of page.data) {
    const { data: mapping, error } = await client.GET("/api/v1/mappings/{id}", { params: { path: { id } } });
    if (!mapping) throw new Error(`${error?.code}: ${error?.detail}`);
    const { in_sync, marketo_members, salesforce_members, only_marketo, only_salesforce, different } = mapping.bridge;
    console.log(`${program_name} = ${campaign_name}: ${in_sync} in sync, of ${marketo_members} and ${salesforce_members}`);
    console.log(JSON.stringify({ only_marketo, only_salesforce, different }));
  }
  cursor = page.next_cursor ?? undefined;
} while (cursor);
