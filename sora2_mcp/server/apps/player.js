"use strict";
// One task: how it stands, then its video. It looks by itself while the host lets it, and is seen.

const $ = (id) => document.getElementById(id);
const host = new Host({ name: "sora2-player", version: "1" });
let task = null;
let isAsked = false;
let isTold = false;
let looksLeft = 30;
let lookTimer = 0;
let video = null;

host.onInput = ({ prompt, task_id: id }) => {
  if (!task) show({ prompt, task_id: id, status: "" });
};
host.onResult = (result) => {
  if (result.isError || !result.structuredContent || !result.structuredContent.task_id) {
    if (!task || !task.task_id) say(textOf(result), result.isError);
    return;
  }
  // What it ended with is news for the model only if this page sees it end.
  isTold = isTold || result.structuredContent.status !== "generating";
  take(result.structuredContent);
};
host.onCancelled = () => {
  if (!task || !task.status) say("The call was cancelled. What was ordered goes on: ask for its status.");
};
host.onContext = () => showButtons();
host.onEnd = () => {
  clearTimeout(lookTimer);
  if (video) video.pause();
};

function take(fresh) {
  const before = task || {};
  task = { ...fresh, prompt: fresh.prompt || before.prompt };
  show(task);
  if (isSettled(task)) tellOnce();
  else lookLater();
}

function lookLater() {
  clearTimeout(lookTimer);
  if (host.ended || document.hidden || !task || !task.task_id || isSettled(task)) return;
  // A done video that cannot be saved is not looked at for ever.
  if (task.status === "succeeded" && !looksLeft--) return;
  if (!host.can.call) {
    say("This chat does not let the player look by itself. Ask how the video stands.");
    return;
  }
  const seconds = Math.min(30, Math.max(1, Number(task.poll_after_seconds) || 5));
  lookTimer = setTimeout(look, seconds * 1000);
}

async function look() {
  if (isAsked || host.ended || document.hidden) return;
  isAsked = true;
  try {
    take(await host.call("get_task_status", { task_id: task.task_id }));
    say("");
  } catch (error) {
    say(`Looking failed: ${error.message}`, true);
    lookLater();
  } finally {
    isAsked = false;
  }
}

function tellOnce() {
  if (isTold || !host.can.tell) return;
  isTold = true;
  const where = sources(task)[0] || task.file_path || "";
  const text = `The user sees in the player that ${task.task_id} has ended: ${task.status}. ${problemOf(task)} ${where}`;
  host.tell(text.trim()).catch(() => {});
}

function show(shown) {
  document.body.className = document.body.classList.contains("full") ? `full ${shown.status}` : shown.status || "";
  $("prompt").textContent = shown.prompt || "A video";
  $("status").textContent = shown.status ? statusWord(shown) : "Ordering";
  $("stage").classList.toggle("portrait", shown.aspect_ratio === "portrait");
  const isWaiting = !shown.status || !isSettled(shown);
  $("cover").hidden = !isWaiting && shown.status === "succeeded";
  $("bar").hidden = !isWaiting;
  const problem = problemOf(shown);
  $("problem").textContent = problem;
  $("problem").hidden = !problem;
  $("note").textContent = expiryNote(shown);
  showTime();
  if (shown.status === "succeeded" && !isWaiting) showVideo();
  showButtons();
}

function showVideo() {
  if (video) return;
  const canRead = host.can.read && task.file_path;
  video = videoOf(task, {
    look: host.can.call ? async () => (task = await host.call("get_task_status", { task_id: task.task_id })) : null,
    blob: canRead ? () => host.read(`sora2://tasks/${encodeURIComponent(task.task_id)}/video`) : null,
    gaveUp: () => {
      video.remove();
      $("cover").hidden = false;
      $("problem").hidden = false;
      $("problem").textContent = fallback();
    },
  });
  // Hosts let only muted videos start by themselves.
  Object.assign(video, { muted: true, autoplay: true, loop: true });
  $("stage").append(video);
}

function fallback() {
  const address = sources(task)[0];
  if (address) return `The video cannot be shown here. Its address: ${address}`;
  return task.file_path ? `The video cannot be shown here. Its file: ${task.file_path}` : "The video has no address.";
}

function showTime() {
  if (!task) return;
  const isRunning = task.status === "generating";
  const seconds = isRunning ? secondsSince(task.created_at) : task.elapsed_seconds;
  $("time").textContent = seconds == null ? "" : isRunning ? `${span(seconds)} so far` : `took ${span(seconds)}`;
}

function showButtons() {
  const address = task ? sources(task)[0] : "";
  $("open").hidden = !address || !host.can.open;
  $("save").hidden = !address || !host.can.save;
  $("full").hidden = !address || !host.can.full;
  $("full").textContent = host.context.displayMode === "fullscreen" ? "Leave full screen" : "Full screen";
}

function say(words, isError = false) {
  $("say").textContent = words;
  $("say").classList.toggle("error", isError);
}

const tried = (what) => () => what().catch((error) => say(error.message, true));
$("open").onclick = tried(() => host.open(sources(task)[0]));
$("save").onclick = tried(() => host.save(sources(task)[0], `${task.task_id}.mp4`));
$("full").onclick = tried(() => host.full(host.context.displayMode !== "fullscreen"));
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(lookTimer);
  else if (task && task.task_id && !isSettled(task) && host.can.call) look();
});
setInterval(showTime, 1000);
host.connect().catch(() => say("The host does not answer.", true));
