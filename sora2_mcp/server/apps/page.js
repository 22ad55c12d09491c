"use strict";
// The gallery of the HTTP server, for people without an MCP host. The token stays in this page's memory.

const $ = (id) => document.getElementById(id);
const web = new Web();
const LIMIT = 24;
const PAUSE_SECONDS = 5;
let isOperator = false;
let listening = null;
let watched = [];
let refreshing = 0;

const shelf = new Cards($("cards"), {
  get can() {
    return { call: !isOperator, keep: !isOperator, open: false, save: true, copy: true };
  },
  list: async (asked) => (isOperator ? showOverview(await web.overview(asked)) : web.call("list_tasks", { ...asked, limit: LIMIT })),
  look: (task) => web.call("get_task_status", { task_id: task.task_id }),
  keep: (task) => web.call("download_video", { task_id: task.task_id }),
  save: async (url) => {
    make("a", { href: `${url}?save`, download: "" }).click();
  },
  copy: async (text) => {
    await navigator.clipboard.writeText(text);
    say("Copied.");
  },
}, say);

async function signIn(token) {
  web.token = token;
  isOperator = false;
  try {
    await shelf.first("any");
  } catch (error) {
    if (!(error instanceof SignInNeeded) || !token) throw error;
    // Not a caller's; perhaps the operator's.
    isOperator = true;
    await shelf.first("any");
  }
  $("signin").hidden = true;
  $("shelf").hidden = false;
  $("leave").hidden = !token;
  $("who").textContent = isOperator ? "All callers" : "";
  $("overview").hidden = !isOperator;
  say("");
  settle();
  if (!isOperator) showLimits(await web.read("sora2://usage"));
  follow();
}

function signOut(words = "") {
  web.token = "";
  if (listening) listening.abort();
  [...shelf.cards.keys()].forEach((id) => shelf.drop(id));
  $("shelf").hidden = true;
  $("leave").hidden = true;
  $("signin").hidden = false;
  $("token").value = "";
  $("token").focus();
  say(words);
}

/** Keeps the page up to date: by the server's notifications, the operator's by asking now and then. */
async function follow() {
  if (listening) listening.abort();
  const mine = (listening = new AbortController());
  watched = shelf.unfinished;
  while (!mine.signal.aborted) {
    try {
      $("live").textContent = "Live";
      if (isOperator) await pause();
      else await web.listen(watched, refreshSoon, mine.signal);
    } catch (error) {
      if (mine.signal.aborted) return;
      if (error instanceof SignInNeeded) return signOut("The token is not good any more.");
      $("live").textContent = "Connecting again …";
      await pause();
    }
    if (!mine.signal.aborted && !document.hidden) await refresh();
  }
}

const pause = () => new Promise((resolve) => setTimeout(resolve, PAUSE_SECONDS * 1000));

function refreshSoon() {
  clearTimeout(refreshing);
  refreshing = setTimeout(refresh, 200);
}

async function refresh() {
  try {
    await shelf.first();
    if (!isOperator) showLimits(await web.read("sora2://usage"));
  } catch (error) {
    if (error instanceof SignInNeeded) signOut("The token is not good any more.");
    else say(error.message, true);
  }
  settle();
  if (!isOperator && !$("shelf").hidden && shelf.unfinished.some((id) => !watched.includes(id))) follow();
}

function settle() {
  $("more").hidden = !shelf.cursor;
  $("empty").hidden = shelf.cards.size > 0;
}

function showOverview({ callers, limits, ...page }) {
  const cell = (text) => make("td", { textContent: text });
  $("callers").replaceChildren(...callers.map((one) => make(
    "tr", {}, cell(one.caller), cell(one.unfinished), cell(one.today), cell(one.this_month), cell(one.failed_this_month),
  )));
  showLimits({ limits });
  return page;
}

const LIMITS = { daily: "orders today", active: "unfinished tasks", daily_cost: "cost today" };

function showLimits({ today, limits }) {
  const own = today ? [`Ordered today: ${today.orders}`] : [];
  const shared = Object.entries(limits || {}).map(([name, { used, limit }]) => `${LIMITS[name] || name}: ${used} of ${limit}`);
  $("limits").textContent = [...own, ...shared].join(" · ");
}

function say(words, isError = false) {
  $("say").textContent = words;
  $("say").classList.toggle("error", isError);
}

const failed = (error) => {
  if (error instanceof SignInNeeded) signOut(web.token ? "This server does not know that token." : "");
  else say(error.message, true);
};
$("signin").onsubmit = (event) => {
  event.preventDefault();
  signIn($("token").value.trim()).catch(failed);
};
$("leave").onclick = () => signOut();
$("filter").onchange = () => shelf.first($("filter").value).then(settle, failed);
$("more").onclick = () => shelf.more().then(settle, failed);
document.addEventListener("visibilitychange", () => document.hidden || $("shelf").hidden || refreshSoon());
signIn("").catch(failed);
