"use strict";
// The page's side of MCP over HTTP: one POST for each request, without a session (protocol 2026-07-28).

const PROTOCOL = "2026-07-28";
const META = {
  "io.modelcontextprotocol/protocolVersion": PROTOCOL,
  "io.modelcontextprotocol/clientInfo": { name: "sora2-gallery-page", version: "1" },
  "io.modelcontextprotocol/clientCapabilities": {},
};

class SignInNeeded extends Error {}
class Ended extends Error {}

// The server watches 100 resources for one client; beyond that the list tells of the newest only.
const WATCHED = 90;

class Web {
  constructor() {
    this.lastId = 0;
    this.begin("");
  }

  /** Speaks for this token from now on; what is under way for the one before ends with an `Ended`. */
  begin(token) {
    if (this.life) this.life.abort(new Ended());
    this.life = new AbortController();
    this.token = token;
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
    const { signal } = this.life;
    return unlessEnded(signal, async () => {
      const id = ++this.lastId;
      const answer = await this.post(id, method, params, name, signal);
      if (!isStream(answer)) return resultOf(await reached(answer.json()));
      for await (const message of messagesIn(answer)) {
        if (message.id === id) return resultOf(message);
      }
      throw new Error("The server broke off before it answered.");
    });
  }

  /**
   * Calls `changed` once it listens, then whenever the caller's tasks change; returns when the server ends the stream.
   * A task that is watched by its id is looked at as often as one that a tool waits for.
   */
  async listen(ids, changed, signal) {
    const uris = ["sora2://tasks", ...ids.slice(0, WATCHED).map((id) => `sora2://tasks/${encodeURIComponent(id)}`)];
    const params = { notifications: { resourceSubscriptions: uris } };
    const answer = await this.post(++this.lastId, "subscriptions/listen", params, "", signal);
    if (!isStream(answer)) resultOf(await reached(answer.json()));
    for await (const message of messagesIn(answer)) {
      if (message.error) resultOf(message);
      // The first one acknowledges: what changed before it was not told.
      if (message.method) changed();
    }
  }

  async post(id, method, params, name, signal) {
    const named = name ? { "mcp-name": name } : {};
    return this.fetch("mcp", {
      method: "POST",
      signal,
      headers: {
        "content-type": "application/json", accept: "application/json, text/event-stream",
        "mcp-protocol-version": PROTOCOL, "mcp-method": method, ...named, ...this.headers(),
      },
      body: JSON.stringify({ jsonrpc: "2.0", id, method, params: { ...params, _meta: META } }),
    });
  }

  async fetch(path, options) {
    const answer = await reached(fetch(path, { credentials: "omit", ...options }));
    await refuseUnlessOk(answer);
    return answer;
  }

  /** All callers' tasks, for the operator's token only. */
  async overview({ status, cursor }) {
    const { signal } = this.life;
    return unlessEnded(signal, async () => {
      const asked = new URLSearchParams({ status, cursor });
      const answer = await this.fetch(`overview?${asked}`, { signal, headers: this.headers() });
      return reached(answer.json());
    });
  }
}

/** What comes from the server; the browser's own words for one that is not there, or breaks off, help nobody. */
async function reached(coming) {
  try {
    return await coming;
  } catch (error) {
    throw error instanceof TypeError ? new Error("The server cannot be reached.") : error;
  }
}

/** What `work` comes to, unless `signal` is aborted by then: a browser that cuts off a body has its own error for it. */
async function unlessEnded(signal, work) {
  try {
    return await work();
  } finally {
    signal.throwIfAborted();
  }
}

async function refuseUnlessOk(answer) {
  if (answer.ok) return;
  const body = await answer.json().catch(() => ({}));
  const words = (body.error && (body.error.message || body.error)) || `The server answers HTTP ${answer.status}.`;
  throw answer.status === 401 ? new SignInNeeded(String(words)) : new Error(String(words));
}

function isStream(answer) {
  return (answer.headers.get("content-type") || "").startsWith("text/event-stream");
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
    const { value, done } = await reached(reader.read());
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
