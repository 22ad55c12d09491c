"use strict";
// Tasks as cards: in the gallery that hosts show, and on the page of the HTTP server.

const MOST_AT_ONCE = 50;

class Cards {
  /**
   * `host` gives tasks: list({status, cursor, limit}) -> {tasks, next_cursor}, look(task), keep(task), and what it `can`.
   * `say` shows a person words; `size` is how many more are shown at a time.
   */
  constructor(list, host, say, size) {
    this.list = list;
    this.host = host;
    this.say = say;
    this.size = size;
    this.wanted = size;
    this.cards = new Map();
    this.status = "any";
    this.cursor = "";
    this.playing = null;
    this.lastTurn = 0;
    this.shownTurn = 0;
    this.seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
      if (!entry.isIntersecting) return;
      this.seen.unobserve(entry.target);
      entry.target.src = entry.target.dataset.source;
    }));
  }

  /** Shows the newest tasks of a status. */
  first(status) {
    this.status = status;
    this.wanted = this.size;
    return this.refresh();
  }

  more() {
    this.wanted += this.size;
    return this.refresh();
  }

  /** Asks anew for all that is shown: older ones change too. What a later answer has overtaken is not shown. */
  async refresh() {
    const turn = ++this.lastTurn;
    const { status, wanted } = this;
    const tasks = [];
    let cursor = "";
    do {
      const page = await this.host.list({ status, cursor, limit: Math.min(MOST_AT_ONCE, wanted - tasks.length) });
      tasks.push(...page.tasks);
      cursor = page.next_cursor || "";
    } while (cursor && tasks.length < wanted);
    if (turn < this.shownTurn || status !== this.status) return;
    this.shownTurn = turn;
    this.show({ tasks, next_cursor: cursor });
  }

  /** Shows these tasks and no others. */
  show({ tasks, next_cursor: cursor }) {
    const ids = new Set(tasks.map((task) => task.task_id));
    [...this.cards.keys()].filter((id) => !ids.has(id)).forEach((id) => this.drop(id));
    tasks.forEach((task) => this.put(task));
    this.cursor = cursor || "";
    [...ids].forEach((id, index) => {
      const { element } = this.cards.get(id);
      // A video that is moved in the page stops.
      if (this.list.children[index] !== element) this.list.insertBefore(element, this.list.children[index] || null);
    });
  }

  clear() {
    // What is still on its way was asked for by somebody else.
    this.shownTurn = this.lastTurn + 1;
    this.lastTurn = this.shownTurn;
    this.show({ tasks: [] });
  }

  /** The ids of the tasks that are still to change by themselves. */
  get unfinished() {
    return [...this.cards.values()].filter(({ task }) => !isSettled(task)).map(({ task }) => task.task_id);
  }

  drop(id) {
    const card = this.cards.get(id);
    if (this.playing === card) this.playing = null;
    card.element.remove();
    this.cards.delete(id);
  }

  put(task) {
    const card = this.cards.get(task.task_id) || { element: make("li") };
    // Only what is shown: a link of ours is another each time, and a card that is filled anew loads its frame again.
    const { status, prompt, aspect_ratio: ratio, video_url: url, download_url: own, file_path: path } = task;
    const state = JSON.stringify([status, prompt, ratio, url, Boolean(own), path, problemOf(task), expiryNote(task)]);
    card.task = task;
    this.cards.set(task.task_id, card);
    if (card.state === state) {
      card.age.textContent = this.age(task);
      return;
    }
    card.state = state;
    // What is being watched goes on.
    if (card !== this.playing) this.fill(card);
  }

  fill(card) {
    const { task, element } = card;
    const focused = element.contains(document.activeElement) ? document.activeElement.textContent : null;
    card.age = make("span", { className: "quiet", textContent: this.age(task) });
    card.stage = make("div", { className: `stage ${task.aspect_ratio === "portrait" ? "portrait" : ""}` });
    element.className = `card ${task.status}`;
    this.cover(card);
    element.replaceChildren(
      card.stage,
      make("p", { className: "row" }, make("span", { className: "status", textContent: statusWord(task) }), card.age),
      make("h2", { className: "prompt", textContent: task.prompt || task.task_id, title: task.prompt || "" }),
      task.caller ? make("p", { className: "quiet", textContent: `Ordered by ${task.caller}` }) : "",
      expiryNote(task) ? make("p", { className: "note", textContent: expiryNote(task) }) : "",
      make("p", { className: "row" }, ...this.buttons(card)),
    );
    if (focused === null) return;
    // Who works with the keyboard stays at this card.
    const buttons = [...element.querySelectorAll("button")];
    const next = buttons.find((button) => button.textContent === focused) || buttons[0];
    if (next) next.focus();
  }

  age(task) {
    const seconds = secondsSince(task.created_at);
    return seconds == null ? "" : `${span(seconds)} ago`;
  }

  /** The first frame; or why there is none. `words` say that the video cannot be played. */
  cover(card, words = "") {
    const { task, stage } = card;
    const [address] = sources(task);
    if (words || task.status !== "succeeded" || !this.canPlay(task)) {
      const problem = make("p", { className: "quiet", textContent: words || problemOf(task) });
      stage.replaceChildren(make("div", { className: "cover" }, isSettled(task) ? problem : make("div", { className: "bar" })));
      return;
    }
    const play = make("button", { type: "button", className: "play" });
    play.setAttribute("aria-label", `Play: ${task.prompt || task.task_id}`);
    play.onclick = () => this.play(card);
    stage.replaceChildren(play);
    if (!address) return;
    const frame = make("video", { muted: true, playsInline: true, preload: "metadata", tabIndex: -1 });
    frame.setAttribute("aria-hidden", "true");
    // Without a picture there is still the button, which looks for a fresh address.
    frame.onerror = () => frame.remove();
    frame.dataset.source = `${address}#t=0.1`;
    this.seen.observe(frame);
    stage.prepend(frame);
  }

  canPlay(task) {
    return Boolean(sources(task).length || (task.file_path && this.host.can.read));
  }

  play(card) {
    if (this.playing && this.playing !== card) this.stop(this.playing);
    this.playing = card;
    card.element.classList.add("playing");
    const { can } = this.host;
    const video = videoOf(card.task, {
      look: can.call ? () => this.host.look(card.task) : null,
      blob: can.read && card.task.file_path ? () => this.host.read(card.task) : null,
      gaveUp: () => {
        const place = sources(card.task)[0] || card.task.file_path;
        this.stop(card, `The video cannot be shown here.${place ? ` It is at ${place}` : ""}`);
      },
    });
    // Not play(), which would count for the first address only.
    video.autoplay = true;
    card.stage.replaceChildren(video);
    video.focus();
  }

  stop(card, words = "") {
    this.playing = null;
    card.element.classList.remove("playing");
    this.fill(card);
    if (!words) return;
    this.cover(card, words);
    this.say("The video cannot be shown here.", true);
  }

  buttons(card) {
    const { task } = card;
    const { can } = this.host;
    const address = () => sources(card.task)[0];
    const button = (text, what) => {
      const element = make("button", { type: "button", textContent: text });
      element.setAttribute("aria-label", `${text}: ${task.prompt || task.task_id}`);
      element.onclick = () => what().catch((error) => this.say(error.message, true));
      return element;
    };
    const keep = async () => {
      this.say("Saving the video …");
      const kept = await this.host.keep(card.task);
      // Another may have signed in meanwhile.
      if (this.cards.get(task.task_id) !== card) return;
      this.put(kept);
      this.say("Saved.");
    };
    const isKept = task.download_url || task.file_path;
    return [
      task.status === "succeeded" && !isKept && !isGone(task) && can.keep ? button("Keep", keep) : "",
      // A browser saves what this server serves; a service's video it would only open.
      address() && can.save && (task.download_url || !can.copy)
        ? button("Save", () => this.host.save(address(), `${task.task_id}.mp4`)) : "",
      address() && can.open ? button("Open", () => this.host.open(address())) : "",
      address() && can.copy ? button("Copy link", () => this.host.copy(address())) : "",
      task.prompt && can.copy ? button("Copy prompt", () => this.host.copy(task.prompt)) : "",
    ];
  }
}
