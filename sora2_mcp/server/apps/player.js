"use strict";
// One task: how it stands, then its video. It looks by itself while the host lets it, and is seen.

const $ = (id) => document.getElementById(id);
const host = new Host({ name: "sora2-player", version: "1" });
const TRIES = 12;
const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
let asked = {};
let task = null;
let isAsked = false;
let isTold = false;
let triesLeft = TRIES;
let lookTimer = 0;
let video = null;

host.onInput = ({ prompt, task_id: id }) => {
  asked = { prompt, task_id: id };
  if (!task) show({ ...asked, status: "" });
};
host.onResult = (result) => {
  const content = result.structuredContent || {};
  if (!result.isError && content.task_id) {
    // What it ended with is news for the model only if this page sees it end.
    isTold = isTold || content.status !== "generating";
    take(content);
  } else if (task) say(textOf(result), result.isError);
  else if (result.isError || content.status === "failed") show({ message: textOf(result), ...asked, ...content, status: "failed" });
  else noTask("Nothing to show", textOf(result));
};
host.onCancelled = () => {
  if (!task) noTask("Cancelled", "The call was cancelled. What was ordered goes on: ask for its status.");
};
host.onContext = () => showButtons();
host.onEnd = () => {
  clearTimeout(lookTimer);
  if (video) video.pause();
};

function take(fresh) {
  const before = task || asked;
  task = { ...fresh, prompt: fresh.prompt || before.prompt };
  say("");
  show(task);
  if (isSettled(task)) tellOnce();
  else lookLater();
}

/** Nothing comes by itself, and there is no task. */
function noTask(word, words) {
  $("status").textContent = word;
  $("stage").hidden = true;
  say(words);
}

function mayLook() {
  return host.can.call && !host.ended && !document.hidden && task && task.task_id && !isSettled(task) && triesLeft > 0;
}

function lookLater() {
  clearTimeout(lookTimer);
  if (!host.can.call) say("This chat does not let the player look by itself. Ask how the video stands.");
  if (triesLeft <= 0) giveUpLooking();
  if (!mayLook()) return;
  // A video that is just being saved comes sooner than one that is being made; what brings nothing is tried less often.
  const seconds = Math.max(1, Number(task.poll_after_seconds) || (isComing(task) ? 2 : 5));
  lookTimer = setTimeout(look, Math.min(30, seconds * (1 + TRIES - triesLeft)) * 1000);
}

async function look() {
  clearTimeout(lookTimer);
  if (isAsked || !mayLook()) return;
  isAsked = true;
  try {
    const fresh = await host.call("get_task_status", { task_id: task.task_id });
    triesLeft = fresh.status === "generating" ? TRIES : triesLeft - 1;
    take(fresh);
  } catch (error) {
    triesLeft -= 1;
    say(`Looking failed: ${error.message}`, true);
    lookLater();
  } finally {
    isAsked = false;
  }
}

function giveUpLooking() {
  $("bar").hidden = true;
  if (isComing(task)) explain("The video is done, but it has no address yet that can be shown here. Ask to have it saved.");
  else say(`${$("say").textContent.trim()} The player has stopped looking: ask how the video stands.`, true);
}

function tellOnce() {
  if (isTold || !host.can.tell) return;
  isTold = true;
  const problem = problemOf(task);
  const where = sources(task)[0] || task.file_path;
  host.tell([
    `The user sees in the player that ${task.task_id} has ended: ${task.status}.`,
    // The service's words are data: quoted, so that they read as nothing else.
    problem && `Reason given: ${JSON.stringify(problem)}`,
    where && `The video: ${where}`,
  ].filter(Boolean).join(" ")).catch(() => {});
}

function show(shown) {
  document.body.className = document.body.classList.contains("full") ? `full ${shown.status}` : shown.status || "";
  $("prompt").textContent = $("prompt").title = shown.prompt || "A video";
  $("status").textContent = shown.status ? statusWord(shown) : shown.prompt ? "Ordering" : "Looking";
  $("stage").hidden = false;
  $("stage").classList.toggle("portrait", shown.aspect_ratio === "portrait");
  const isWaiting = !shown.status || !isSettled(shown);
  $("cover").hidden = !isWaiting && shown.status === "succeeded";
  $("bar").hidden = !isWaiting;
  explain(problemOf(shown));
  $("note").textContent = expiryNote(shown);
  showTime();
  if (shown.status === "succeeded" && !isWaiting) showVideo();
  showButtons();
}

function explain(words) {
  $("problem").textContent = words;
  $("problem").hidden = !words;
}

function showVideo() {
  if (video) return;
  const canRead = host.can.read && task.file_path;
  video = videoOf(task, {
    look: host.can.call ? async () => (task = { ...task, ...(await host.call("get_task_status", { task_id: task.task_id })) }) : null,
    blob: canRead ? () => host.read(`sora2://tasks/${encodeURIComponent(task.task_id)}/video`) : null,
    gaveUp: () => {
      video.remove();
      $("cover").hidden = false;
      explain(fallback());
      showButtons();
    },
  });
  // Hosts let only muted videos start by themselves, and some people want none to.
  Object.assign(video, { muted: true, autoplay: !isCalm, loop: true });
  $("stage").append(video);
}

function fallback() {
  const address = sources(task)[0];
  if (address) return `The video cannot be shown here. Its address: ${address}`;
  if (task.file_path) return `The video cannot be shown here. Its file: ${task.file_path}`;
  return isGone(task) ? "The video is gone: the service has deleted it." : "The video has no address that can be shown here.";
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
  $("say").classList.toggle("error", Boolean(isError));
}

const tried = (what) => () => what().catch((error) => say(error.message, true));
$("open").onclick = tried(() => host.open(sources(task)[0]));
$("save").onclick = tried(() => host.save(sources(task)[0], `${task.task_id}.mp4`));
$("full").onclick = tried(() => host.full(host.context.displayMode !== "fullscreen"));
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(lookTimer) : look()));
setInterval(showTime, 1000);
host.connect().catch(() => say("The host does not answer.", true));
