// The dashboard: a list of streams, and everything about the one in the address.

import { authorised, recast } from "./recast.js";
import { waterfall } from "./waterfall.js";

const at = name => document.getElementById(name);
const names = new Intl.DisplayNames(["en"], { type: "language" });
const order = ["ingest", "downloader", "asr", "segmenter", "speaker", "translator", "voice", "place", "sender"];
const words = { good: "on time", late: "late", silent: "silent", starting: "starting", ended: "ended", failed: "failed" };

const charts = await import("./charts.js").then(({ Chart }) => ({ delays: new Chart(at("delays")), spreads: new Chart(at("spreads")), lags: new Chart(at("lags")) }),
  () => null);

let feed = null;
let stream = null;

const seconds = (value, digits = 1) => (value === null || value === undefined ? "–" : `${value.toFixed(digits)} s`);

function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// ---- the list ----------------------------------------------------------------------------------------------------

async function list() {
  const response = await fetch("/dashboard/streams").catch(() => null);
  if (response?.ok) {
    const lines = await response.json();
    at("none").hidden = lines.length > 0;
    const focused = document.activeElement?.dataset?.stream;
    at("streams").replaceChildren(...lines.map(line => {
      const link = element("a", "", { href: `?stream=${encodeURIComponent(line.stream)}`, "data-health": line.health, "data-stream": line.stream });
      if (line.stream === stream) link.setAttribute("aria-current", "page");
      const delay = line.delay === null ? "" : ` · ${seconds(line.delay)} of ${seconds(line.contract, 0)}`;
      link.append(element("strong", line.title), element("span", `${words[line.health]}${delay}${line.languages.map(language => ` · ${language}`).join("")}`));
      const item = element("li");
      item.append(link);
      return item;
    }));
    if (focused) at("streams").querySelector(`[data-stream="${CSS.escape(focused)}"]`)?.focus();
    if (stream === null && lines.length) open(lines[0].stream);
  }
  setTimeout(list, 3000);
}

document.addEventListener("click", event => {
  const link = event.target.closest("#streams a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  history.pushState(null, "", link.href);
  open(link.dataset.stream);
});
// Where playback needs a signed link and a key was typed, the page makes one; else the plain address has to do.
at("watch").addEventListener("click", async event => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const plain = at("watch").href;
  const answer = await fetch(`/v1/streams/${encodeURIComponent(stream)}/links`, { method: "POST", headers: authorised() }).catch(() => null);
  location.href = answer?.ok ? (await answer.json()).watch : plain;
});
addEventListener("popstate", () => open(new URLSearchParams(location.search).get("stream")));

// ---- one stream --------------------------------------------------------------------------------------------------

function open(name) {
  feed?.close();
  stream = name;
  if (!name) return;
  for (const link of document.querySelectorAll("#streams a")) {
    if (link.dataset.stream === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  feed = new EventSource(`/dashboard/feed?stream=${encodeURIComponent(name)}`);
  feed.addEventListener("history", event => past(JSON.parse(event.data)));
  feed.addEventListener("status", event => show(JSON.parse(event.data)));
  feed.addEventListener("open", () => { at("connection").textContent = ""; });
  feed.addEventListener("error", () => {
    const missing = feed.readyState === EventSource.CLOSED;
    at("connection").textContent = missing ? "This stream is not known." : "Connection lost, trying again…";
    at("missing").hidden = !missing;
    if (missing) at("main").hidden = true;
  });
}

function past(samples) {
  if (!charts) return;
  for (const chart of Object.values(charts)) chart.clear();
  for (const { at: time, delay, contract, ear_voice, lags } of samples) {
    charts.delays.push(time, { delay, "ear-voice span": ear_voice?.mean ?? null, contract });
    charts.spreads.push(time, percentiles(ear_voice));
    charts.lags.push(time, ordered(Object.entries(lags)));
  }
}

function show(status) {
  at("main").hidden = false;
  at("missing").hidden = true;
  at("title").textContent = status.title || status.stream;
  at("health").textContent = words[status.health];
  at("health").dataset.health = status.health;
  at("watch").href = `/watch/${encodeURIComponent(status.stream)}`;
  document.title = `${status.title || status.stream} · Dragoman dashboard`;
  const reasons = status.state === "failed" && status.reason ? [status.reason] : [];
  at("warnings").replaceChildren(...[...reasons, ...status.warnings].map(warning => element("li", warning)));
  figures(status);
  stages(status);
  timing(status);
  said(status);
  waterfall(status);
  dubs(status);
  recast(status);
  draw(status);
}

function figures({ head, seal, delay, contract, ear_voice, drift, utterances, dubs, segments, health, next_delay }) {
  const voiced = Object.values(dubs).reduce((sum, dub) => sum + dub.voiced, 0);
  const dropped = Object.values(dubs).reduce((sum, dub) => sum + dub.dropped, 0);
  const rows = [
    ["Delay", seconds(delay), `contract ${seconds(contract, 0)}${next_delay ? `, soon ${seconds(next_delay, 0)}` : ""}`, health === "late" ? "late" : ""],
    ["Head", clock(head), "media time captured"],
    ["Seal", clock(seal), `${segments} segments published`],
    ["Ear-voice span", seconds(ear_voice?.mean), ear_voice ? `sd ${seconds(ear_voice.sd, 2)}` : "no clip yet"],
    ["Drift p95", seconds(drift?.p95, 2), drift ? `median ${seconds(drift.p50, 2)}` : "no clip yet"],
    ["Utterances", String(utterances), `${voiced} voiced, ${dropped} dropped`],
  ];
  at("figures").replaceChildren(...rows.map(([name, value, more, tone = ""]) => {
    const figure = element("div");
    const shown = element("dd", value, { class: tone });
    shown.append(element("small", more));
    figure.append(element("dt", name), shown);
    return figure;
  }));
}

function stages({ stages: all, contract, loads }) {
  const sorted = inOrder(all.map(stage => [stage.name, stage])).map(([, stage]) => stage);
  const full = Math.max(contract * 1.5, 1, ...sorted.map(stage => stage.lag));
  const body = at("stages");
  const rows = new Map([...body.rows].map(row => [row.dataset.name, row]));
  body.replaceChildren(...sorted.map(({ name, stage, language, lag, messages }) => {
    const row = rows.get(name) ?? stageRow(name, stage, language);
    const [fill, mark] = row.querySelectorAll("i, b");
    fill.style.width = `${(100 * lag) / full}%`;
    fill.classList.toggle("late", stage !== "sender" && lag > contract);
    mark.style.left = `${(100 * contract) / full}%`;
    row.cells[2].textContent = seconds(lag);
    const own = loads.filter(load => load.stage === stage);
    row.cells[3].textContent = own.map(({ busy }) => `${Math.round(100 * busy)} %`).join(" · ") || "–";
    row.cells[3].title = own.map(({ replica, busy }) => `${replica}: ${Math.round(100 * busy)} %`).join(", ");
    row.cells[4].textContent = messages.toLocaleString("en");
    return row;
  }));
}

function stageRow(name, stage, language) {
  const row = element("tr", "", { "data-name": name });
  const bars = element("td");
  const bar = element("div", "", { class: "bar", "aria-hidden": "true" });
  bar.append(element("i"), element("b"));
  bars.append(bar);
  row.append(element("th", language ? `${stage} (${language})` : stage, { scope: "row" }), bars,
    ...[1, 2, 3].map(() => element("td", "", { class: "number" })));
  return row;
}

function timing({ delayed, ear_voice, drift, dubs }) {
  const rows = [...(delayed ? [["Delay", delayed]] : []), ["Ear-voice span", ear_voice], ["Drift", drift]];
  if (Object.keys(dubs).length > 1) rows.push(...Object.values(dubs).map(dub => [`Drift, ${names.of(dub.language)}`, dub.drift]));
  table(at("timing"), rows.map(([name, spread]) =>
    [name, ...["mean", "sd", "p50", "p95", "p99"].map(figure => (spread ? spread[figure].toFixed(2) : "–"))]));
}

function said({ last, dubs, names: cast }) {
  const who = speaker => (speaker === null ? "" : ` · ${cast[speaker] ?? `speaker ${speaker + 1}`}`);
  const sentences = [last, ...Object.values(dubs).map(dub => dub.last)].filter(Boolean);
  at("said").replaceChildren(...sentences.flatMap(({ language, speaker, text, start }) =>
    [element("dt", `${names.of(language)}${who(speaker)} · at ${clock(start)}`), element("dd", text, { lang: language })]));
  at("unsaid").hidden = sentences.length > 0;
}

function dubs({ dubs: all, speakers, names: cast }) {
  const gender = { f: "female", m: "male" };
  at("speakers").replaceChildren(...Object.values(speakers).map(({ speaker, gender: known, utterances }) =>
    element("li", `${cast[speaker] ?? `Speaker ${speaker + 1}`} · ${gender[known] ?? "unknown"} · ${utterances}`)));
  table(at("dubs"), Object.values(all).map(({ language, voiced, late, failed, rate }) =>
    [names.of(language), voiced, late, failed, `${rate.toFixed(2)}×`]));
}

function draw({ now, at: told, delay, contract, ear_voice, stages: all }) {
  if (!charts || now - told > 30) return;
  charts.delays.push(now, { delay, "ear-voice span": ear_voice?.mean ?? null, contract });
  charts.spreads.push(now, percentiles(ear_voice));
  charts.lags.push(now, ordered(all.map(({ name, lag }) => [name, lag])));
  for (const chart of Object.values(charts)) chart.draw();
}

function percentiles(spread) {
  return Object.fromEntries(["p50", "p95", "p99", "sd"].map(name => [name, spread?.[name] ?? null]));
}

function table(body, rows) {
  body.replaceChildren(...rows.map(([name, ...cells]) => {
    const row = element("tr");
    row.append(element("th", name, { scope: "row" }), ...cells.map(cell => element("td", String(cell), { class: "number" })));
    return row;
  }));
}

function inOrder(entries) {
  const rank = name => order.indexOf(name.split("~")[0]);
  return entries.sort(([one], [other]) => rank(one) - rank(other) || one.localeCompare(other));
}

function ordered(entries) {
  return Object.fromEntries(inOrder(entries));
}

function clock(media) {
  const whole = Math.floor(media);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return `${hours ? `${hours}:` : ""}${String(minutes).padStart(hours ? 2 : 1, "0")}:${String(rest).padStart(2, "0")}`;
}

open(new URLSearchParams(location.search).get("stream"));
list();
