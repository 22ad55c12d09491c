"use strict";
// The page's side of MCP over HTTP: one POST for each request, without a session (protocol 2026-07-28).

const PROTOCOL = "2026-07-28";
const META = {
  "io.modelcontextprotocol/protocolVersion": PROTOCOL,
  "io.modelcontextprotocol/clientInfo": { name: "sora2-gallery-page", version: "1" },
  "io.modelcontextprotocol/clientCapabilities": {},
};

class SignInNeeded extends Error {}

class Web {
  constructor() {
    this.token = "";
    this.lastId = 0;
  }

  headers() {
    return this.token ? { authorization: `Bearer ${this.token}` } : {};
  }

  async call(name, args) {
    const result = await this.request("tools/call", { name, arguments: args }, name);
    if (result.isError) throw new Error(result.content.map((part) => part.text || "").join("\n"));
    return result.structuredContent;
  }

  async read(uri) {
    const result = await this.request("resources/read", { uri }, uri);
    return JSON.parse(result.contents[0].text);
  }

  /** The result of one request. */
  async request(method, params, name) {
    const id = ++this.lastId;
    const answer = await this.post(id, method, params, name);
    const isStream = (answer.headers.get("content-type") || "").startsWith("text/event-stream");
    if (!isStream) return resultOf(await answer.json());
    for await (const message of messagesIn(answer)) {
      if (message.id === id) return resultOf(message);
    }
    throw new Error("The server broke off before it answered.");
  }

  /**
   * Calls `changed` whenever the caller's tasks change; returns when the server ends the stream.
   * A task that is watched by its id is looked at as often as one that a tool waits for.
   */
  async listen(ids, changed, signal) {
    const uris = ["sora2://tasks", ...ids.map((id) => `sora2://tasks/${id}`)];
    const params = { notifications: { resourceSubscriptions: uris } };
    const answer = await this.post(++this.lastId, "subscriptions/listen", params, "", signal);
    for await (const message of messagesIn(answer)) {
      if (message.method && message.method.startsWith("notifications/resources/")) changed();
    }
  }

  async post(id, method, params, name, signal) {
    const named = name ? { "mcp-name": name } : {};
    const answer = await fetch("mcp", {
      method: "POST",
      signal,
      credentials: "omit",
      headers: {
        "content-type": "application/json", accept: "application/json, text/event-stream",
        "mcp-protocol-version": PROTOCOL, "mcp-method": method, ...named, ...this.headers(),
      },
      body: JSON.stringify({ jsonrpc: "2.0", id, method, params: { ...params, _meta: META } }),
    });
    await refuseUnlessOk(answer);
    return answer;
  }

  /** All callers' tasks, for the operator's token only. */
  async overview({ status, cursor }) {
    const asked = new URLSearchParams({ status, cursor });
    const answer = await fetch(`overview?${asked}`, { credentials: "omit", headers: this.headers() });
    await refuseUnlessOk(answer);
    return answer.json();
  }
}

async function refuseUnlessOk(answer) {
  if (answer.ok) return;
  const body = await answer.json().catch(() => ({}));
  const words = (body.error && (body.error.message || body.error)) || `The server answers HTTP ${answer.status}.`;
  throw answer.status === 401 ? new SignInNeeded(String(words)) : new Error(String(words));
}

function resultOf(message) {
  if (message.error) throw new Error(String(message.error.message));
  return message.result;
}

/** The JSON messages of a stream of server-sent events. */
async function* messagesIn(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value.replaceAll("\r\n", "\n");
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      const data = event.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n");
      if (data.trim()) yield JSON.parse(data);
    }
  }
}
