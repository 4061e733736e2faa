// Another voice, gender or name for a speaker, by PATCH /v1/streams/{id}.

const at = name => document.getElementById(name);
const form = at("recast");
let status = null;
let offered = null;
let built = "";

/** The header with the key that was typed in this tab, if any. */
export const authorised = () => {
  const key = at("recast-key").value || sessionStorage.getItem("key") || "";
  return key ? { Authorization: `Bearer ${key}` } : {};
};

function option(value, text) {
  const made = document.createElement("option");
  made.value = value;
  made.textContent = text;
  return made;
}

const named = who => status.casting[who]?.name || `Speaker ${Number(who) + 1}`;

async function voices() {
  const answer = await fetch("/v1/languages", { headers: authorised() }).catch(() => null);
  if (answer?.status === 401) at("recast-key-label").hidden = false;
  if (!answer?.ok) return null;
  const { pairs } = await answer.json();
  return Object.fromEntries(pairs.map(({ target, voices: known }) => [target, known]));
}

/** Shows the form for the speakers and languages of a stream; what somebody is choosing stays as it is. */
export async function recast(now) {
  status = now;
  const speakers = Object.values(status.speakers);
  form.hidden = speakers.length === 0 || status.state !== "running";
  const wanted = JSON.stringify([status.stream, speakers.map(({ speaker }) => speaker), status.languages, status.casting, status.merged]);
  if (form.hidden || built === wanted || form.contains(document.activeElement)) return;
  built = wanted;
  const chosen = at("recast-speaker").value;
  at("recast-speaker").replaceChildren(...speakers.map(({ speaker }) =>
    option(String(speaker), named(speaker))));
  if (speakers.some(({ speaker }) => String(speaker) === chosen)) at("recast-speaker").value = chosen;
  offered ??= await voices();
  fill();
}

function fill() {
  const cast = status.casting[at("recast-speaker").value] ?? {};
  at("recast-name").value = cast.name ?? "";
  at("recast-gender").value = cast.gender ?? "";
  const chosen = at("recast-speaker").value;
  const others = Object.values(status.speakers).map(({ speaker }) => String(speaker)).filter(who => who !== chosen && !(who in status.merged));
  at("recast-same").replaceChildren(option("", "nobody else"), ...others.map(who => option(who, named(who))));
  at("recast-same").value = status.merged[chosen] ?? "";
  at("recast-voices").replaceChildren(...status.languages.filter(language => offered?.[language]?.length).map(language => {
    const label = document.createElement("label");
    const select = document.createElement("select");
    select.dataset.language = language;
    select.append(option("", "as cast"), ...offered[language].map(({ name, gender }) => option(name, `${name} (${gender})`)));
    select.value = cast.voices?.[language] ?? "";
    label.append(`Voice, ${language} `, select);
    return label;
  }));
}

at("recast-speaker").addEventListener("change", fill);
at("recast-key").addEventListener("change", async () => {
  sessionStorage.setItem("key", at("recast-key").value);
  offered = await voices();
  fill();
});

/** All merges with the one that is chosen; what was merged into the chosen speaker follows. */
function merges() {
  const chosen = at("recast-speaker").value;
  const same = at("recast-same").value;
  const { [chosen]: _, ...others } = status.merged;
  if (!same) return others;
  return { ...Object.fromEntries(Object.entries(others).map(([who, is]) => [who, is === chosen ? same : is])), [chosen]: same };
}

form.addEventListener("submit", async event => {
  event.preventDefault();
  const chosen = [...at("recast-voices").querySelectorAll("select")].filter(({ value }) => value);
  const casting = {
    name: at("recast-name").value.trim(),
    gender: at("recast-gender").value || null,
    voices: Object.fromEntries(chosen.map(({ dataset, value }) => [dataset.language, value])),
  };
  at("recast-answer").textContent = "…";
  const answer = await fetch(`/v1/streams/${encodeURIComponent(status.stream)}`, {
    method: "PATCH",
    headers: { "Content-Type": "application/json", ...authorised() },
    body: JSON.stringify({ speakers: { [at("recast-speaker").value]: casting }, merged: merges() }),
  }).catch(() => null);
  const problem = answer && !answer.ok ? await answer.json().catch(() => ({})) : {};
  let said = answer?.ok ? "In force from the next sentence." : problem.detail ?? "The server did not answer. Try again.";
  if (answer?.status === 401) {
    at("recast-key-label").hidden = false;
    said = "Type an API key that may change this stream.";
  }
  at("recast-answer").textContent = said;
});
