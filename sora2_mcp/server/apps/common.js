"use strict";
// What the player and the galleries share: elements, words, safe addresses, and a video that mends its own address.

/** An element with properties and children; texts become text, never markup. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== "" && child != null));
  return element;
}

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/** The address if a page may follow it: https, or this machine; else "". */
function safe(address) {
  try {
    const url = new URL(String(address));
    const own = url.protocol === "http:" && LOOPBACK.test(url.hostname);
    const same = location.protocol.startsWith("http") && url.origin === location.origin;
    return url.protocol === "https:" || own || same ? url.href : "";
  } catch {
    return "";
  }
}

const STATUS_WORDS = {
  generating: "Generating", succeeded: "Done", failed: "Failed", unconfirmed: "Unconfirmed",
};

function statusWord(task) {
  return STATUS_WORDS[task.status] || "Unknown";
}

/** "48 s", "2 min 10 s", "15 min", "3 h", "5 days". */
function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 172800) return `${Math.round(whole / 3600)} h`;
  return `${Math.round(whole / 86400)} days`;
}

function secondsSince(instant) {
  const at = Date.parse(instant);
  return Number.isNaN(at) ? null : (Date.now() - at) / 1000;
}

/** Where a task's video can be played, the best first: our own copy, then the service's. */
function sources(task) {
  return [task.download_url, task.video_url].map(safe).filter(Boolean);
}

/** Whether a done video has no address yet: one that only the service's key opens is saved a moment after it is done. */
function isComing(task) {
  return task.status === "succeeded" && !sources(task).length && !task.file_path && !isGone(task);
}

/** Whether nothing more comes by itself. */
function isSettled(task) {
  return task.status !== "generating" && !isComing(task);
}

/** Whether the service has deleted its copy. */
function isGone(task) {
  return secondsSince(task.video_expires_at) > 0;
}

/** What is about to be lost, or ""; three days before the service deletes an unsaved video. */
function expiryNote(task) {
  if (task.status !== "succeeded" || !task.video_expires_at || task.file_path || task.download_url) return "";
  if (isGone(task)) return "The service has deleted it.";
  const left = -secondsSince(task.video_expires_at);
  return left < 3 * 86400 ? `Not saved; the service deletes it in ${span(left)}.` : "";
}

/** Why a task failed, or what is not known of it. */
function problemOf(task) {
  if (task.status === "failed" && task.failure && task.failure.message) return String(task.failure.message);
  return task.status === "failed" || task.status === "unconfirmed" ? String(task.message || "").split("\n")[0] : "";
}

/**
 * A video element that tries one address after the other, looks once for fresh ones, and then gives up with words.
 * `look` gives the task anew; `blob` gives an address of its bytes where the host hands them over; both may be null.
 */
function videoOf(task, { look, blob, gaveUp }) {
  const video = make("video", { playsInline: true, controls: true, preload: "metadata" });
  video.setAttribute("aria-label", `Video: ${task.prompt || task.task_id}`);
  let left = sources(task);
  let hasLooked = false;
  let hasRead = false;
  const next = async () => {
    const address = left.shift();
    if (address) {
      video.src = address;
      return;
    }
    if (!hasLooked && look) {
      hasLooked = true;
      const fresh = await look().catch(() => null);
      left = fresh ? sources(fresh) : [];
      if (left.length) return next();
    }
    if (!hasRead && blob) {
      hasRead = true;
      const address = await blob().catch(() => "");
      if (address) {
        video.src = address;
        return;
      }
    }
    gaveUp();
  };
  video.addEventListener("error", next);
  next();
  return video;
}
