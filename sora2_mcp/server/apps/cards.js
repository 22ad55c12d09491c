"use strict";
// Tasks as cards: in the gallery that hosts show, and on the page of the HTTP server.

class Cards {
  /**
   * `host` gives tasks: list({status, cursor}) -> {tasks, next_cursor}, look(task), keep(task), and what it `can`.
   * `say` shows a person words.
   */
  constructor(list, host, say) {
    this.list = list;
    this.host = host;
    this.say = say;
    this.cards = new Map();
    this.status = "any";
    this.cursor = "";
    this.playing = null;
    this.seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
      if (!entry.isIntersecting) return;
      this.seen.unobserve(entry.target);
      entry.target.src = entry.target.dataset.source;
    }));
  }

  /** Replaces what is shown by the newest tasks, or those of a status. */
  async first(status = this.status) {
    this.status = status;
    const page = await this.host.list({ status, cursor: "" });
    if (status !== this.status) return;
    this.show(page);
  }

  show({ tasks, next_cursor: cursor }) {
    const known = new Set(tasks.map((task) => task.task_id));
    const oldest = tasks.length ? tasks[tasks.length - 1].created_at : "";
    for (const [id, card] of this.cards) {
      // Older ones were asked for by paging on and stay, where the status is still the same.
      if (!known.has(id) && (card.task.created_at >= oldest || !cursor || !this.fits(card.task))) this.drop(id);
    }
    tasks.forEach((task) => this.put(task));
    if (this.cards.size <= tasks.length) this.cursor = cursor || "";
    const older = [...this.cards.keys()].filter((id) => !known.has(id));
    this.arrange([...tasks.map((task) => task.task_id), ...older]);
  }

  async more() {
    const page = await this.host.list({ status: this.status, cursor: this.cursor });
    page.tasks.forEach((task) => this.put(task));
    this.cursor = page.next_cursor || "";
    this.arrange([...this.cards.keys()]);
  }

  /** The ids of the tasks that are still to change by themselves. */
  get unfinished() {
    return [...this.cards.values()].filter(({ task }) => !isSettled(task)).map(({ task }) => task.task_id);
  }

  fits(task) {
    return this.status === "any" || task.status === this.status;
  }

  drop(id) {
    const card = this.cards.get(id);
    if (this.playing === card) this.playing = null;
    card.element.remove();
    this.cards.delete(id);
  }

  /** Puts the cards into this order. */
  arrange(ids) {
    this.cards = new Map(ids.map((id) => [id, this.cards.get(id)]));
    ids.forEach((id, index) => {
      const { element } = this.cards.get(id);
      // A video that is moved in the page stops.
      if (this.list.children[index] !== element) this.list.insertBefore(element, this.list.children[index] || null);
    });
  }

  put(task) {
    const known = this.cards.get(task.task_id);
    const card = known || { element: make("li") };
    // A link of ours is another each hour, the time so far each second: neither is news.
    const state = JSON.stringify({ ...task, download_url: Boolean(task.download_url), elapsed_seconds: 0 });
    card.task = task;
    this.cards.set(task.task_id, card);
    if (card.state === state) {
      card.age.textContent = this.age(task);
      return;
    }
    card.state = state;
    if (card !== this.playing || !sources(task).length) this.fill(card);
  }

  fill(card) {
    const { task, element } = card;
    const problem = problemOf(task);
    card.age = make("span", { className: "quiet", textContent: this.age(task) });
    card.stage = make("div", { className: `stage ${task.aspect_ratio === "portrait" ? "portrait" : ""}` });
    element.className = `card ${task.status}`;
    this.cover(card);
    element.replaceChildren(
      card.stage,
      make("p", { className: "row" }, make("span", { className: "status", textContent: statusWord(task) }), card.age),
      make("h2", { className: "prompt", textContent: task.prompt || task.task_id, title: task.prompt || "" }),
      task.caller ? make("p", { className: "quiet", textContent: `Ordered by ${task.caller}` }) : "",
      problem ? make("p", { className: "quiet prompt", textContent: problem }) : "",
      expiryNote(task) ? make("p", { className: "note", textContent: expiryNote(task) }) : "",
      make("p", { className: "row" }, ...this.buttons(card)),
    );
  }

  age(task) {
    const seconds = secondsSince(task.created_at);
    return seconds == null ? "" : `${span(seconds)} ago`;
  }

  /** The first frame, or that there is none yet. */
  cover(card) {
    const { task, stage } = card;
    const [address] = sources(task);
    if (task.status !== "succeeded" || !address) {
      const isWaiting = !isSettled(task);
      stage.replaceChildren(make("div", { className: "cover" }, isWaiting ? make("div", { className: "bar" }) : ""));
      return;
    }
    const frame = make("video", { muted: true, playsInline: true, preload: "metadata", tabIndex: -1 });
    frame.setAttribute("aria-hidden", "true");
    frame.dataset.source = `${address}#t=0.1`;
    this.seen.observe(frame);
    const play = make("button", { type: "button", className: "play", textContent: "▶" });
    play.setAttribute("aria-label", `Play: ${task.prompt || task.task_id}`);
    play.onclick = () => this.play(card);
    stage.replaceChildren(frame, play);
  }

  play(card) {
    if (this.playing && this.playing !== card) this.stop(this.playing);
    this.playing = card;
    card.element.classList.add("playing");
    const video = videoOf(card.task, {
      look: this.host.can.call ? () => this.host.look(card.task) : null,
      blob: null,
      gaveUp: () => {
        this.stop(card);
        this.say(`The video cannot be shown here. Its address: ${sources(card.task)[0] || "unknown"}`, true);
      },
    });
    card.stage.replaceChildren(video);
    video.focus();
    video.play().catch(() => {});
  }

  stop(card) {
    this.playing = null;
    card.element.classList.remove("playing");
    this.cover(card);
  }

  buttons(card) {
    const { task } = card;
    const [address] = sources(task);
    const can = this.host.can;
    const button = (text, what) => {
      const element = make("button", { type: "button", textContent: text });
      element.onclick = () => what().catch((error) => this.say(error.message, true));
      return element;
    };
    const keep = async () => {
      this.say("Saving the video …");
      this.put(await this.host.keep(task));
      this.say("Saved.");
    };
    const isKept = task.download_url || task.file_path;
    return [
      task.status === "succeeded" && !isKept && can.keep ? button("Keep", keep) : "",
      address && can.save && (task.download_url || !can.copy) ? button("Save", () => this.host.save(address, `${task.task_id}.mp4`)) : "",
      address && can.open ? button("Open", () => this.host.open(address)) : "",
      address && can.copy ? button("Copy link", () => this.host.copy(address)) : "",
      task.prompt && can.copy ? button("Copy prompt", () => this.host.copy(task.prompt)) : "",
    ];
  }
}
