// The player page: one stream, its sounds and subtitles, and how far behind live this viewer is.

import { Beside, Sights } from "./beside.js";
import { Captions } from "./captions.js";
import { recall, remember } from "./memory.js";
import { Bed } from "./mixer.js";
import { Objects } from "./objects.js";

const id = decodeURIComponent(location.pathname.replace(/\/$/, "").split("/").pop());
// A signed link opens what viewers may know; a bare name asks the API as anybody does.
const api = `/v1/${id.includes("~") ? "watch" : "streams"}/${encodeURIComponent(id)}`;
const media = `/hls/${encodeURIComponent(id)}`;
const master = `${media}/master.m3u8`;
const original = "original";
const clean = "-clean";

const at = name => document.getElementById(name);
const video = at("video");
const captions = new Captions(at("captions"), at("silence"));
const sights = new Sights(media);
const said = new Objects(media, "utterances");
const beside = new Beside(at("beside"), video, sights);
const names = new Intl.DisplayNames(["en"], { type: "language" });

let hls = null;
let bed = null;
let loaded = false;
let playable = true;
let record = { state: "starting" };
let skew = 0;
let mediaOffset = null;
let retries = 0;

// ---- what to say -------------------------------------------------------------------------------------------------

function notice(headline, detail = "", { busy = false, again = false } = {}) {
  at("headline").textContent = headline;
  at("detail").textContent = detail;
  at("spinner").hidden = !busy;
  at("again").hidden = !again;
  at("notice").hidden = false;
  at("notice").dataset.over = video.readyState > 1 ? "picture" : "";
}

function look() {
  const badge = at("badge");
  badge.dataset.state = record.state;
  badge.textContent = { running: "live", unknown: loaded ? "recording" : "not found" }[record.state] ?? record.state;
  const title = record.title || "Live stream";
  if (at("title").textContent !== title) {
    at("title").textContent = title;
    document.title = `${title} · Dragoman`;
  }
  if (!playable) return;
  if (video.ended) return notice("This stream has ended", record.reason, { again: true });
  const moving = video.readyState > 2 && !video.seeking;
  if (moving || (loaded && video.paused && video.readyState > 1)) {
    at("notice").hidden = true;
  } else if (record.state === "failed" && !loaded) {
    notice("This stream could not be dubbed", record.reason || "The source gave no reason.");
  } else if (record.state === "unknown" && !loaded) {
    notice("There is no such stream", "It may have ended a while ago. Ask whoever gave you the link for a new one.");
  } else if (record.state === "ended" && !loaded) {
    notice("This stream has ended", "It was not recorded.");
  } else if (!loaded) {
    const wait = record.delay ? `The first pictures come after about ${Math.round(record.delay + 6)} seconds.` : "";
    notice("The stream is starting", wait, { busy: true });
  } else if (record.state === "failed") {
    notice("The stream has broken off", record.reason);
  } else {
    notice("Waiting for the stream", "It goes on by itself.", { busy: true });
  }
}

function showBehind() {
  const date = hls?.playingDate;
  const live = record.state === "running" || record.state === "starting";
  if (!date || !live) {
    at("behind").textContent = "";
    at("edge").hidden = true;
    return;
  }
  const behind = (Date.now() + skew - date) / 1000;
  at("behind").textContent = `${Math.max(0, behind).toFixed(0)} s behind live`;
  at("edge").hidden = !(hls.liveSyncPosition && hls.liveSyncPosition - video.currentTime > 8);
}

// ---- the state of the stream -------------------------------------------------------------------------------------

async function ask() {
  const response = await fetch(api, { headers: { accept: "application/json" }, cache: "no-store" }).catch(() => null);
  if (!response) return;
  const date = Date.parse(response.headers.get("date") ?? "");
  // The header counts whole seconds: only a clock that is really wrong is corrected.
  skew = Math.abs(date - Date.now()) > 2500 ? date - Date.now() : 0;
  if ([403, 404].includes(response.status)) record = { ...record, state: "unknown" };
  if (!response.ok) return;
  const before = record.languages;
  record = await response.json();
  captions.names = Object.fromEntries(Object.entries(record.speakers ?? {}).map(([who, cast]) => [who, cast.name]));
  if (String(before) !== String(record.languages)) {
    targets();
    if (before && hls) hls.loadSource(master);
  }
}

async function poll() {
  await ask();
  if (!loaded) await load();
  look();
  setTimeout(poll, loaded ? 4000 : 1500);
}

async function load() {
  const response = await fetch(master, { cache: "no-store" }).catch(() => null);
  if (!response?.ok) return;
  loaded = true;
  if (window.Hls?.isSupported()) play();
  else if (video.canPlayType("application/vnd.apple.mpegurl")) {
    video.src = master;
    video.play().catch(() => {});
  } else {
    playable = false;
    notice("This browser cannot play the stream", `Open ${location.origin}${master} in another player.`);
  }
}

// ---- playing -----------------------------------------------------------------------------------------------------

function play() {
  hls = new Hls({ backBufferLength: 90, enableWebVTT: true, renderTextTracksNatively: true });
  bed = new Bed(video, hls, `${media}/${original}.m3u8`);
  hls.on(Hls.Events.AUDIO_TRACKS_UPDATED, sounds);
  hls.on(Hls.Events.SUBTITLE_TRACKS_UPDATED, texts);
  hls.on(Hls.Events.FRAG_CHANGED, (_, { frag }) => tellTime(frag));
  hls.on(Hls.Events.ERROR, (_, error) => error.fatal && recover(error));
  hls.loadSource(master);
  hls.attachMedia(video);
  video.play().catch(async () => {
    // Browsers let pages start without a gesture only while they are silent.
    video.muted = true;
    at("unmute").hidden = false;
    await video.play().catch(() => {});
  });
}

/** Objects carry their media time in their names, in ticks of 1/90000 s: the page's link to the event stream's clock. */
function tellTime(frag) {
  if (frag.type !== "main") return;
  const ticks = /^(?:v|video|o|original)-(\d+)[-.]/.exec(frag.url.split("/").pop());
  if (ticks) mediaOffset = Number(ticks[1]) / 90000 - frag.start;
}

function mediaTime() {
  return mediaOffset === null ? null : video.currentTime + mediaOffset;
}

function recover(error) {
  retries += 1;
  if (retries > 50) return;
  if (error.type === Hls.ErrorTypes.MEDIA_ERROR) hls.recoverMediaError();
  else setTimeout(() => hls.loadSource(master), Math.min(10_000, 1000 * retries));
}

// ---- choices -----------------------------------------------------------------------------------------------------

const rendition = track => new URL(track.url, location.href).pathname.split("/").pop().replace(/\.m3u8$/, "");

function menu(select, options, chosen) {
  select.replaceChildren(...options.map(({ value, label }) => new Option(label, value, false, value === chosen)));
  select.disabled = options.length < 2;
}

function sounds() {
  const options = hls.audioTracks.map(track => ({ value: rendition(track), label: track.name }));
  const wanted = options.some(({ value }) => value === recall().sound) ? recall().sound : original;
  menu(at("sound"), options, wanted);
  hear(wanted);
}

function hear(name) {
  const track = hls.audioTracks.findIndex(candidate => rendition(candidate) === name);
  if (track >= 0 && hls.audioTrack !== track) hls.audioTrack = track;
  const mixes = name.endsWith(clean);
  at("mixer").hidden = !mixes;
  if (mixes) bed.start();
  else bed.stop();
  if (name !== original) aim(name.replace(clean, ""));
}

function texts() {
  const options = hls.subtitleTracks.map(track => ({ value: rendition(track), label: track.name }));
  const wanted = options.some(({ value }) => value === recall().text) ? recall().text : "";
  menu(at("text"), [{ value: "", label: "Off" }, ...options], wanted);
  read(wanted);
}

function read(name) {
  hls.subtitleDisplay = name !== "";
  hls.subtitleTrack = hls.subtitleTracks.findIndex(candidate => rendition(candidate) === name);
}

function targets() {
  const languages = record.languages ?? [];
  const wanted = languages.includes(recall().target) ? recall().target : languages[0] ?? "";
  menu(at("target"), languages.map(language => ({ value: language, label: names.of(language) })), wanted);
  captions.language = wanted;
}

function aim(language) {
  const select = at("target");
  if (![...select.options].some(option => option.value === language)) return;
  select.value = language;
  captions.language = language;
}

function mix() {
  const level = Number(at("level").value);
  at("loudness").textContent = `${level} %`;
  // Loudness is heard in ratios: half way up the slider is a quarter of the amplitude.
  if (bed) bed.level = (level / 100) ** 2;
}

at("sound").addEventListener("change", event => {
  remember({ sound: event.target.value });
  hear(event.target.value);
});
at("text").addEventListener("change", event => {
  remember({ text: event.target.value });
  read(event.target.value);
});
at("target").addEventListener("change", event => {
  remember({ target: event.target.value });
  captions.language = event.target.value;
});
at("bubbles").addEventListener("change", event => {
  remember({ bubbles: event.target.checked });
  beside.shown = event.target.checked;
  beside.draw(mediaTime(), captions);
});
at("level").addEventListener("input", event => {
  remember({ level: Number(event.target.value) });
  mix();
});
at("unmute").addEventListener("click", () => {
  video.muted = false;
});
at("again").addEventListener("click", () => {
  video.currentTime = video.seekable.length ? video.seekable.start(0) : 0;
  video.play().catch(() => {});
});
at("edge").addEventListener("click", edge);
document.querySelector(".choices").addEventListener("submit", event => event.preventDefault());

function edge() {
  if (hls?.liveSyncPosition) video.currentTime = hls.liveSyncPosition;
  video.play().catch(() => {});
}

function next(select) {
  if (select.disabled) return;
  select.selectedIndex = (select.selectedIndex + 1) % select.options.length;
  select.dispatchEvent(new Event("change"));
}

const keys = {
  k: () => (video.paused ? video.play().catch(() => {}) : video.pause()),
  m: () => { video.muted = !video.muted; },
  a: () => next(at("sound")),
  c: () => next(at("text")),
  j: () => { video.currentTime -= 10; },
  l: edge,
  f: () => (document.fullscreenElement ? document.exitFullscreen() : document.querySelector(".screen").requestFullscreen()),
};

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, input")) return;
  keys[event.key.toLowerCase()]?.();
});

for (const happening of ["playing", "waiting", "pause", "ended", "seeked", "error"]) video.addEventListener(happening, look);
video.addEventListener("playing", () => { retries = 0; });
video.addEventListener("volumechange", () => { if (!video.muted) at("unmute").hidden = true; });

setInterval(() => {
  showBehind();
  captions.draw(mediaTime());
  // Of a recording whose record is gone, its objects alone tell whether there are faces.
  const faces = record.faces ?? sights.told.size > 0;
  at("faces").hidden = !faces;
  if (faces) beside.draw(mediaTime(), captions);
}, 100);

setInterval(() => {
  if (!loaded) return;
  if ((record.faces || record.state === "unknown") && beside.shown) sights.read(mediaTime());
  // The feed of a stream that is over says little, and later nothing.
  if (!["starting", "running"].includes(record.state)) reread();
}, 2000);

async function reread() {
  const utterances = (await said.read(mediaTime())).flatMap(object => object.utterances);
  for (const utterance of utterances) captions.recall(utterance);
  if (record.languages || !utterances.length) return;
  record.languages = [...new Set(utterances.flatMap(({ translations }) => Object.keys(translations)))];
  targets();
}

at("bubbles").checked = beside.shown = recall().bubbles ?? true;
at("level").value = recall().level ?? 20;
mix();
const events = captions.follow(`${api}/events?kinds=utterance,translation`);
events.addEventListener("error", () => {
  // The feed of a stream that is over ends; asking again would bring nothing.
  if (!["starting", "running"].includes(record.state)) events.close();
});
poll();
