"use strict";
// The page's side of MCP Apps: JSON-RPC with the host by messages of the window. Revision 2026-01-26.

class Host {
  constructor(info) {
    this.info = info;
    this.capabilities = {};
    this.context = {};
    this.ended = false;
    this.onInput = () => {};
    this.onResult = () => {};
    this.onCancelled = () => {};
    this.onContext = () => {};
    this.onEnd = () => {};
    this.waiting = new Map();
    this.lastId = 0;
    this.size = "";
    window.addEventListener("message", (event) => this.receive(event));
  }

  async connect() {
    const answer = await this.request("ui/initialize", {
      protocolVersion: "2026-01-26",
      appInfo: this.info,
      appCapabilities: { availableDisplayModes: ["inline", "fullscreen"] },
    });
    this.capabilities = answer.hostCapabilities || {};
    this.takeContext(answer.hostContext || {});
    this.notify("ui/notifications/initialized", {});
    const measure = () => {
      // There the page follows the frame: were the frame to follow the page, both would shrink.
      if (this.context.displayMode === "fullscreen") return void (this.size = "");
      const { width, height } = document.documentElement.getBoundingClientRect();
      const size = { width: Math.ceil(width), height: Math.ceil(height) };
      // Only what has changed, or the host and the page would answer each other for ever.
      if (this.size !== (this.size = `${size.width} ${size.height}`)) this.notify("ui/notifications/size-changed", size);
    };
    new ResizeObserver(measure).observe(document.documentElement);
  }

  /** What a tool gives; an error in words where it fails. */
  async call(name, args) {
    const result = await this.request("tools/call", { name, arguments: args });
    if (result.isError) throw new Error(textOf(result));
    return result.structuredContent || {};
  }

  get can() {
    const { serverTools, serverResources, openLinks, downloadFile, updateModelContext } = this.capabilities;
    const modes = this.context.availableDisplayModes || [];
    return {
      call: Boolean(serverTools), read: Boolean(serverResources), open: Boolean(openLinks), save: Boolean(downloadFile),
      tell: Boolean(updateModelContext), full: modes.includes("fullscreen"), copy: false,
    };
  }

  /** An address in this page of a saved video's bytes. */
  async read(uri) {
    const [content] = (await this.request("resources/read", { uri })).contents;
    const bytes = Uint8Array.from(atob(content.blob), (letter) => letter.charCodeAt(0));
    return URL.createObjectURL(new Blob([bytes], { type: "video/mp4" }));
  }

  open(url) {
    return this.request("ui/open-link", { url });
  }

  save(url, name) {
    const link = { type: "resource_link", uri: url, name, mimeType: "video/mp4" };
    return this.request("ui/download-file", { contents: [link] });
  }

  tell(text) {
    return this.request("ui/update-model-context", { content: [{ type: "text", text }] });
  }

  async full(isWanted) {
    const mode = isWanted ? "fullscreen" : "inline";
    const answer = await this.request("ui/request-display-mode", { mode });
    this.takeContext({ displayMode: answer.mode });
  }

  takeContext(changed) {
    Object.assign(this.context, changed);
    const root = document.documentElement;
    if (["light", "dark"].includes(this.context.theme)) root.style.colorScheme = this.context.theme;
    const variables = (this.context.styles && this.context.styles.variables) || {};
    for (const [name, value] of Object.entries(variables)) {
      if (/^--[a-z0-9-]+$/.test(name) && typeof value === "string") root.style.setProperty(name, value);
    }
    document.body.classList.toggle("full", this.context.displayMode === "fullscreen");
    this.onContext();
  }

  request(method, params) {
    if (this.ended) return Promise.reject(new Error("This page has ended."));
    const id = ++this.lastId;
    this.post({ jsonrpc: "2.0", id, method, params });
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
  }

  notify(method, params) {
    this.post({ jsonrpc: "2.0", method, params });
  }

  post(message) {
    window.parent.postMessage(message, "*");
  }

  receive(event) {
    const message = event.data;
    if (event.source !== window.parent || !message || message.jsonrpc !== "2.0") return;
    if (message.method) this.handle(message);
    else this.settle(message);
  }

  settle({ id, result, error }) {
    const waiting = this.waiting.get(id);
    // What comes after the end must not start anything.
    if (!waiting || this.ended) return;
    this.waiting.delete(id);
    if (error) waiting.reject(new Error(String(error.message || "The host refused.")));
    else waiting.resolve(result || {});
  }

  handle({ id, method, params: given }) {
    const params = given || {};
    const handlers = {
      "ui/notifications/tool-input": () => this.onInput(params.arguments || {}),
      "ui/notifications/tool-result": () => this.onResult(params),
      "ui/notifications/tool-cancelled": () => this.onCancelled(),
      "ui/notifications/host-context-changed": () => this.takeContext(params),
      "ui/resource-teardown": () => {
        this.ended = true;
        this.onEnd();
      },
      ping: () => {},
    };
    const isKnown = Object.hasOwn(handlers, method);
    if (isKnown) handlers[method]();
    if (id === undefined) return;
    const answer = isKnown ? { result: {} } : { error: { code: -32601, message: "Method not found" } };
    this.post({ jsonrpc: "2.0", id, ...answer });
  }
}

/** The words of a result. */
function textOf(result) {
  const texts = (result.content || []).filter((part) => part.type === "text").map((part) => part.text);
  return texts.join("\n") || "That did not work.";
}
