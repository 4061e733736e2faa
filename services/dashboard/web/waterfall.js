// The last sentences on their way through the stages: one bar each, a piece per stage.

const at = name => document.getElementById(name);
const stages = ["segmenter", "speaker", "translator", "voice", "place"];
const shown = 8;

function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** Seconds after the end of the sentence at which each stage was done with it, in the order of the stages. */
function steps(path, language) {
  return stages.map(stage => [stage, path.steps[stage] ?? path.steps[`${stage}~${language}`]]).filter(([, seconds]) => seconds !== undefined);
}

function ways({ paths, languages }) {
  return Object.values(paths).sort((one, other) => other.start - one.start).slice(0, shown).flatMap(path => {
    const begun = languages.filter(language => Object.keys(path.steps).some(step => step.endsWith(`~${language}`)));
    return (begun.length ? begun : [""]).map(language => ({ path, language, done: steps(path, language), lost: path.dropped[language] }));
  }).slice(0, shown);
}

export function waterfall(status) {
  const rows = ways(status);
  const full = Math.max(status.contract * 1.1, 1, ...rows.flatMap(({ done }) => done.map(([, seconds]) => seconds)));
  at("unpassed").hidden = rows.length > 0;
  at("key").replaceChildren(...(rows.length ? stages : []).map(stage => {
    const item = element("li", stage);
    item.prepend(element("i", "", { class: `stage-${stage}`, "aria-hidden": "true" }));
    return item;
  }));
  at("paths").replaceChildren(...rows.map(way => line(way, status.contract, full)));
}

function line({ path, language, done, lost }, contract, full) {
  const row = element("tr");
  const cell = element("td");
  const bar = element("div", "", { class: "bar", role: "img", "aria-label": done.map(([stage, seconds]) => `${stage} ${seconds.toFixed(1)} s`).join(", ") });
  let before = 0;
  for (const [stage, seconds] of done) {
    const piece = element("i", "", { class: `stage-${stage}`, title: `${stage}: ${seconds.toFixed(1)} s` });
    piece.style.left = `${(100 * before) / full}%`;
    piece.style.width = `${(100 * Math.max(0, seconds - before)) / full}%`;
    before = Math.max(before, seconds);
    bar.append(piece);
  }
  const mark = element("b");
  mark.style.left = `${(100 * contract) / full}%`;
  bar.append(mark);
  cell.append(bar);
  const placed = done.find(([stage]) => stage === "place");
  const end = lost ? `dropped: ${lost}` : placed ? `${placed[1].toFixed(1)} s` : "…";
  row.append(element("th", `${language ? `${language} · ` : ""}${path.text}`, { scope: "row", class: "sentence" }), cell, element("td", end, { class: "number" }));
  return row;
}
