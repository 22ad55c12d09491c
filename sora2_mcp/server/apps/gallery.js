"use strict";
// The gallery in a host: what list_tasks found, then whatever the person asks for.

const $ = (id) => document.getElementById(id);
const host = new Host({ name: "sora2-gallery", version: "1" });
const LIMIT = 12;
const PAUSE_SECONDS = 5;
let timer = 0;

const shelf = new Cards($("cards"), {
  get can() {
    return { ...host.can, keep: host.can.call };
  },
  list: ({ status, cursor }) => host.call("list_tasks", { status, cursor, limit: LIMIT }),
  look: (task) => host.call("get_task_status", { task_id: task.task_id }),
  keep: (task) => host.call("download_video", { task_id: task.task_id }),
  open: (url) => host.open(url),
  save: (url, name) => host.save(url, name),
}, say);

host.onResult = (result) => {
  if (result.isError || !result.structuredContent) {
    say(textOf(result), result.isError);
    return;
  }
  shelf.show({ tasks: [], ...result.structuredContent });
  settle();
};
host.onInput = ({ status }) => {
  shelf.status = status || "any";
  $("filter").value = shelf.status;
};
host.onContext = settle;
host.onEnd = () => clearTimeout(timer);

function settle() {
  $("tools").hidden = !host.can.call;
  $("more").hidden = !host.can.call || !shelf.cursor;
  $("empty").hidden = shelf.cards.size > 0;
  clearTimeout(timer);
  if (host.can.call && !host.ended && !document.hidden && shelf.unfinished.length) {
    timer = setTimeout(() => tried(() => shelf.first())(), PAUSE_SECONDS * 1000);
  }
}

function say(words, isError = false) {
  $("say").textContent = words;
  $("say").classList.toggle("error", isError);
}

const tried = (what) => () => what().then(() => say(""), (error) => say(error.message, true)).finally(settle);
$("filter").onchange = tried(() => shelf.first($("filter").value));
$("refresh").onclick = tried(() => shelf.first());
$("more").onclick = tried(() => shelf.more());
document.addEventListener("visibilitychange", settle);
host.connect().catch(() => say("The host does not answer.", true));
