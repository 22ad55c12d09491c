"use strict";
// The gallery of the HTTP server, for people without an MCP host. The token stays in this page's memory.

const $ = (id) => document.getElementById(id);
const web = new Web();
const PAUSE_SECONDS = 5;
const UNKNOWN = "This server does not know that token.";
let isOperator = false;
let listening = null;
let watched = [];
let refreshing = 0;
let isInTrouble = false;

const shelf = new Cards($("cards"), {
  get can() {
    return { call: !isOperator, keep: !isOperator, open: false, save: true, copy: true };
  },
  list: async (asked) => (isOperator ? showOverview(await web.overview(asked)) : web.call("list_tasks", asked)),
  look: (task) => web.call("get_task_status", { task_id: task.task_id }),
  keep: (task) => web.call("download_video", { task_id: task.task_id }),
  save: async (url) => {
    make("a", { href: `${url}?save`, download: "" }).click();
  },
  copy: async (text) => {
    // Browsers have no clipboard for pages that came over plain HTTP from another machine.
    if (!navigator.clipboard) return say(`Copy it from here: ${text}`);
    await navigator.clipboard.writeText(text);
    say("Copied.");
  },
}, say, 24);

async function signIn(token) {
  // A header can hold nothing else, and no token has it.
  if (/[^\x21-\x7e]/.test(token)) throw new Error(UNKNOWN);
  web.begin(token);
  isOperator = false;
  $("filter").value = "any";
  try {
    await shelf.first("any");
  } catch (error) {
    if (!(error instanceof SignInNeeded) || !token) throw error;
    // Not a caller's; perhaps the operator's.
    isOperator = true;
    await shelf.first("any");
  }
  $("signin").hidden = true;
  $("token").value = "";
  $("shelf").hidden = false;
  $("leave").hidden = !token;
  $("who").textContent = isOperator ? "All callers" : "";
  $("overview").hidden = !isOperator;
  say("");
  settle();
  // The button that had the focus has gone.
  if (token) $("filter").focus();
  follow();
  if (!isOperator) showLimits(await web.read("sora2://usage"));
}

/** Nothing of the one who was signed in stays in the page. */
function signOut(words = "") {
  web.begin("");
  if (listening) listening.abort(new Ended());
  shelf.clear();
  $("callers").replaceChildren();
  ["limits", "who", "live"].forEach((id) => ($(id).textContent = ""));
  $("shelf").hidden = true;
  $("leave").hidden = true;
  $("signin").hidden = false;
  $("token").value = "";
  $("token").focus();
  say(words, Boolean(words));
}

/** Keeps the page up to date: by the server's notifications, the operator's by asking now and then. */
async function follow() {
  if (listening) listening.abort(new Ended());
  const mine = (listening = new AbortController());
  watched = shelf.unfinished;
  while (!mine.signal.aborted) {
    try {
      if (isOperator) $("live").textContent = "Live";
      else await web.listen(watched, refreshSoon, mine.signal);
    } catch (error) {
      if (mine.signal.aborted) return;
      if (error instanceof SignInNeeded) return signOut("The token is not good any more.");
      $("live").textContent = "Connecting again …";
    }
    await pause();
    if (!mine.signal.aborted && !document.hidden) await refresh();
  }
}

const pause = () => new Promise((resolve) => setTimeout(resolve, PAUSE_SECONDS * 1000));

function refreshSoon() {
  $("live").textContent = "Live";
  // Not put off by more news, or a busy day's would never be shown. What is hidden is refreshed once it is seen.
  if (!document.hidden) refreshing = refreshing || setTimeout(refresh, 200);
}

async function refresh() {
  clearTimeout(refreshing);
  refreshing = 0;
  if ($("shelf").hidden) return;
  try {
    await shelf.refresh();
    if (!isOperator) showLimits(await web.read("sora2://usage"));
    if (isInTrouble) say("");
    isInTrouble = false;
  } catch (error) {
    failed(error);
    isInTrouble = true;
  }
  settle();
  if (!isOperator && !$("shelf").hidden && shelf.unfinished.some((id) => !watched.includes(id))) follow();
}

function settle() {
  $("more").hidden = !shelf.cursor;
  $("empty").hidden = shelf.cards.size > 0;
  const order = isOperator ? "No videos yet." : "No videos yet. Order one from your chat program, or with: sora2-mcp generate \"…\"";
  $("empty").textContent = shelf.status === "any" ? order : "No such videos.";
}

function showOverview({ callers, limits, ...page }) {
  const cell = (text) => make("td", { textContent: text });
  $("callers").replaceChildren(...callers.map((one) => make(
    "tr", {}, make("th", { scope: "row", textContent: one.caller }),
    cell(one.unfinished), cell(one.today), cell(one.this_month), cell(one.failed_this_month),
  )));
  showLimits({ limits });
  return page;
}

const LIMITS = { daily: "orders today", active: "unfinished tasks", daily_cost: "spent today" };

function showLimits({ today, limits }) {
  const own = today ? [`Ordered today: ${today.orders}`] : [];
  const shared = Object.entries(limits || {}).map(([name, { used, limit }]) => `${used} of ${limit} ${LIMITS[name] || name}`);
  $("limits").textContent = [...own, shared.length ? `All callers: ${shared.join(", ")}` : ""].filter(Boolean).join(" · ");
}

function say(words, isError = false) {
  $("say").textContent = words;
  $("say").classList.toggle("error", isError);
}

const failed = (error) => {
  if (error instanceof Ended) return;
  if (!(error instanceof SignInNeeded)) say(error.message, true);
  else if ($("shelf").hidden) signOut(web.token ? UNKNOWN : "");
  else signOut("The token is not good any more.");
};
$("signin").onsubmit = (event) => {
  event.preventDefault();
  signIn($("token").value.trim()).catch(failed);
};
$("leave").onclick = () => signOut();
$("filter").onchange = () => shelf.first($("filter").value).then(settle, failed);
$("more").onclick = () => shelf.more().then(settle, failed);
document.addEventListener("visibilitychange", () => document.hidden || refresh());
signIn("").catch(failed);
