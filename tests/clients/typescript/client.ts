// A consumer of the three APIs, with types made from their documents. Prints what it got.
import createClient from "openapi-fetch";
import type { paths as Failures } from "./failures.ts";
import type { paths as Logs } from "./logs.ts";
import type { paths as Native } from "./native.ts";

const { SERVICE_URL: baseUrl = "", API_KEY = "", AGENT_ID: agent_id = "" } = process.env;
const options = { baseUrl, headers: { Authorization: `Bearer ${API_KEY}` } };
const failures = createClient<Failures>(options);
const logs = createClient<Logs>(options);
const native = createClient<Native>(options);

// A name with brackets, as the contract has it.
const listed = await failures.GET("/api/v4/tasks/webhook_failures", {
  params: { query: { "created_at[gte]": "2020-01-01T00:00:00Z", limit: 1 } },
});
if (!listed.data) throw new Error(listed.response.statusText);
const reason: string | null | undefined = listed.data.webhook_failures[0]?.reason;

const created = await logs.POST("/api/v1/agents/{agent_id}/webhooks", {
  params: { path: { agent_id } },
  body: { name: "TypeScript", webhook_url: `${baseUrl}/demo/typescript`, events: ["call.ended"] },
});
if (!created.data) throw new Error(JSON.stringify(created.error));

const published = await native.POST("/api/v1/events", {
  params: { header: { "Idempotency-Key": "typescript-1" } },
  body: { event: "call.ended", agent_id, payload: { call_id: "c-1" } },
});
if (!published.data) throw new Error(published.error.detail);

// What the documents forbid does not compile.
// @ts-expect-error timeout is a number
const strict = { name: "x", webhook_url: "x", events: [], timeout: "30" } satisfies NonNullable<
  Logs["/api/v1/agents/{agent_id}/webhooks"]["post"]["requestBody"]
>["content"]["application/json"];
// @ts-expect-error there is no such field
void published.data.sent;
void strict;

const refused = await native.GET("/api/v1/events/{event_id}", { params: { path: { event_id: "none" } } });

console.log(
  JSON.stringify({
    total: listed.data.metadata.total,
    reason,
    webhook: created.data.data.name,
    matched: published.data.matched,
    problem: refused.error?.code,
  }),
);
