"use strict";
// The gallery in a host: what list_tasks found, then whatever the person asks for.

const $ = (id) => document.getElementById(id);
const host = new Host({ name: "sora2-gallery", version: "1" });
const PAUSE_SECONDS = 5;
const LONGEST_PAUSE_SECONDS = 60;
let timer = 0;
let failures = 0;
let isFilled = false;

const shelf = new Cards($("cards"), {
  get can() {
    return { ...host.can, keep: host.can.call };
  },
  list: (asked) => host.call("list_tasks", asked),
  look: (task) => host.call("get_task_status", { task_id: task.task_id }),
  keep: (task) => host.call("download_video", { task_id: task.task_id }),
  read: (task) => host.read(`sora2://tasks/${encodeURIComponent(task.task_id)}/video`),
  open: (url) => host.open(url),
  save: (url, name) => host.save(url, name),
}, say, 12);

host.onResult = (result) => {
  if (result.isError || !result.structuredContent) {
    say(textOf(result), result.isError);
    return;
  }
  const { tasks = [], next_cursor } = result.structuredContent;
  shelf.wanted = Math.max(shelf.size, tasks.length);
  shelf.show({ tasks, next_cursor });
  isFilled = true;
  settle();
};
host.onInput = ({ status }) => {
  shelf.status = status || "any";
  $("filter").value = shelf.status;
};
host.onContext = settle;
host.onEnd = () => {
  clearTimeout(timer);
  if (shelf.playing) shelf.playing.stage.firstChild.pause();
};

function settle() {
  $("tools").hidden = !host.can.call;
  $("more").hidden = !host.can.call || !shelf.cursor;
  $("empty").hidden = shelf.cards.size > 0 || !isFilled;
  $("empty").textContent = shelf.status === "any" ? "No videos yet." : "No such videos.";
  clearTimeout(timer);
  if (host.can.call && !host.ended && !document.hidden && shelf.unfinished.length) {
    timer = setTimeout(again, Math.min(LONGEST_PAUSE_SECONDS, PAUSE_SECONDS * 2 ** failures) * 1000);
  }
}

/** Refreshes by itself: it takes no words away that a person may be reading, and troubles a host in trouble less. */
async function again() {
  try {
    await shelf.refresh();
    if (failures) say("");
    failures = 0;
  } catch (error) {
    failures += 1;
    say(error.message, true);
  }
  settle();
}

function say(words, isError = false) {
  $("say").textContent = words;
  $("say").classList.toggle("error", Boolean(isError));
}

const tried = (what) => () => what().then(() => say(""), (error) => say(error.message, true)).finally(settle);
$("filter").onchange = tried(() => shelf.first($("filter").value));
$("refresh").onclick = tried(() => shelf.refresh());
$("more").onclick = tried(() => shelf.more());
document.addEventListener("visibilitychange", settle);
host.connect().catch(() => say("The host does not answer.", true));
