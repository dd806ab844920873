// The page: its verdict, its rows, its events, and the stream that they come with. What is shown is put in as text, never as
// markup: names and errors come from outside.

const $ = (id) => document.getElementById(id);
const LEVELS = { ok: 0, notice: 1, bad: 2 };
const EVENTS_MAX = 20;
// A line that says nothing for so long is dead: the server speaks every ten seconds.
const SILENCE_MAX = 25_000;
const OPEN_AT_FIRST = 3;
const TOOLS_FROM = 6;
// Samples of the last quarter of an hour: how fresh it is now.
const RECENT = 60;

const state = { fixed: {}, step: 15, verdict: null, tenants: {}, sinks: {}, history: { tenants: {}, sinks: {} }, events: [] };
const rows = { tenants: new Map(), sinks: new Map() };
const opened = new Map();
let heard = 0;
let source = null;
let only = "all";

// ---- verdict ----

function titleOf(problem) {
  const about = problem.of === "daemon" ? "" : `${problem.name}: `;
  return `${about}${problem.headline}`;
}

function showVerdict() {
  const { level, bad, all, problems } = state.verdict;
  const tenants = Object.keys(state.tenants).length, sinks = Object.keys(state.sinks).length;
  attribute($("verdict"), "data-level", level);
  let headline = "All well";
  if (all === 1 || bad === 1) headline = titleOf(problems[0]);
  else if (0 < bad) headline = `${many(bad, "thing needs", "things need")} a look`;
  else if (1 < all) headline = problems.every((problem) => problem.headline === problems[0].headline)
    ? `${many(all, "tenant", "tenants")}: ${problems[0].headline}` : `${all} things are not quite settled`;
  write($("headline"), headline);
  const what = `${many(tenants, "tenant", "tenants")}, ${many(sinks, "sink", "sinks")}, running since ${clock(0)}`;
  write($("summary"), what);
  document.title = level === "ok" ? "xdrelay: all well" : `(${all}) xdrelay: ${headline}`;
  showIcon(level);
  const list = $("problems");
  list.replaceChildren(...problems.map(problemOf));
  if (problems.length < all) list.append(element("li", "", `and ${all - problems.length} more, see below`));
}

function problemOf(problem) {
  const item = element("li");
  item.dataset.level = problem.level;
  const head = element("div", "head");
  if (problem.of === "daemon") {
    head.append(element("span", "", titleOf(problem)));
  } else {
    const jump = element("button", "", `${problem.of === "sink" ? "Sink" : "Tenant"} ${titleOf(problem)}`);
    jump.type = "button";
    jump.addEventListener("click", () => reveal(problem.of === "sink" ? "sinks" : "tenants", problem.name));
    head.append(jump);
  }
  const when = element("span", "since", since(problem.since));
  if (problem.since !== null) when.dataset.since = problem.since;
  head.append(when);
  item.append(head);
  if (problem.what) item.append(element("p", "what", problem.what));
  if (problem.remedy) item.append(element("p", "remedy", problem.remedy));
  return item;
}

const COLOURS = { ok: "1f9d5b", notice: "d29922", bad: "d1332e" };
function showIcon(level) {
  const mark = { ok: "M10 17l4 4 8-9", notice: "M16 9v8m0 5v.1", bad: "M16 9v8m0 5v.1" }[level];
  const icon = `<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><circle cx='16' cy='16' r='15' fill='%23${COLOURS[level]}'/>`
    + `<path d='${mark}' fill='none' stroke='white' stroke-width='3.4' stroke-linecap='round' stroke-linejoin='round'/></svg>`;
  attribute($("icon"), "href", `data:image/svg+xml,${icon}`);
}

function reveal(kind, name) {
  const row = rows[kind].get(name);
  if (!row) return;
  if (row.node.hidden) { only = "all"; $("filter").value = ""; arrange("tenants"); }
  row.node.open = true;
  row.node.scrollIntoView({ block: "start" });
  row.node.querySelector("summary").focus({ preventScroll: true });
}

// ---- rows ----

function rowOf(kind, name) {
  const node = element("details", "row");
  const summary = element("summary");
  const title = element("span", "name", name);
  title.title = name;
  const pill = element("span", "pill");
  const spark = plot("spark", 26, "");
  const first = element("span", "figure"), second = element("span", "figure");
  const figures = [first, second].map((figure) => {
    const label = element("small"), value = element("span");
    figure.append(label, value);
    return { label, value };
  });
  summary.append(title, pill, spark, first, second);
  node.append(summary);
  const row = { kind, name, node, title, pill, spark, figures, detail: null };
  node.addEventListener("toggle", () => { opened.set(`${kind}/${name}`, node.open); if (node.open) update(row); });
  return row;
}

function update(row) {
  if (row.kind === "tenants") updateTenant(row); else updateSink(row);
}

function updateHead(row, view) {
  attribute(row.pill, "data-level", view.level);
  attribute(row.node, "data-level", view.level);
  write(row.pill, view.state);
}

function updateTenant(row) {
  const view = state.tenants[row.name], history = state.history.tenants[row.name] ?? { lag: [], freshness: [] };
  updateHead(row, view);
  const lag = ageOf(view.swept), typical = middle(history.freshness.slice(-RECENT));
  figure(row.figures[0], "lag", lag === null ? "–" : span(lag));
  figure(row.figures[1], "fresh", typical === null ? "–" : span(typical));
  drawLine(row.spark, history.lag, 26, (value) => heightOf(value, SCALES.lag), state.fixed.late);
  attribute(row.spark, "aria-label", `Lag in the last hour, at most ${span(Math.max(0, ...history.lag))}`);
  if (!row.node.open) return;
  row.detail ??= tenantDetail(row);
  row.detail(view, history);
}

function updateSink(row) {
  const view = state.sinks[row.name], history = state.history.sinks[row.name] ?? { rate: [], waiting: [] };
  updateHead(row, view);
  figure(row.figures[0], "rate", `${number.format(view.rate)}/min`);
  figure(row.figures[1], "waiting", number.format(view.waiting));
  drawLine(row.spark, history.rate, 26, linear(history.rate));
  attribute(row.spark, "aria-label", `Events a minute in the last hour, at most ${Math.max(0, ...history.rate)}`);
  if (!row.node.open) return;
  row.detail ??= sinkDetail(row);
  row.detail(view, history);
}

function figure(parts, label, value) {
  write(parts.label, label);
  write(parts.value, value);
}

// The middle of the samples that are there.
function middle(values) {
  const there = values.filter((value) => value !== null).sort((one, other) => one - other);
  return there.length === 0 ? null : there[there.length >> 1];
}

// ---- order and filter ----

function matches(row, view, word) {
  if (row.kind !== "tenants") return true;
  if (only === "problems" && view.level === "ok") return false;
  return word === "" || [row.name, view.state, view.headline, view.error ?? ""].some((text) => text.toLowerCase().includes(word));
}

// Problems first, the worst of them on top; then by name.
function arrange(kind) {
  const views = state[kind], around = $(kind), word = kind === "tenants" ? $("filter").value.trim().toLowerCase() : "";
  for (const [name, row] of rows[kind]) if (!(name in views)) { row.node.remove(); rows[kind].delete(name); }
  const names = Object.keys(views).sort((one, other) =>
    LEVELS[views[other].level] - LEVELS[views[one].level] || one.localeCompare(other, undefined, { numeric: true }));
  const focused = document.activeElement;
  let shown = 0, before = null;
  for (const name of names) {
    let row = rows[kind].get(name);
    if (!row) {
      row = rowOf(kind, name);
      const is = state.fixed.kinds?.[name];
      if (kind === "sinks" && is && is !== name) row.title.append(element("small", "", is));
      rows[kind].set(name, row);
      row.node.open = opened.get(`${kind}/${name}`) ?? (kind === "tenants" && names.length <= OPEN_AT_FIRST);
    }
    row.node.hidden = !matches(row, views[name], word);
    shown += row.node.hidden ? 0 : 1;
    const next = before === null ? around.firstChild : before.nextSibling;
    if (next !== row.node) around.insertBefore(row.node, next);
    before = row.node;
  }
  if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
  if (kind === "tenants") showTools(names, shown);
}

function showTools(names, shown) {
  const troubled = names.filter((name) => state.tenants[name].level !== "ok").length;
  $("tools").hidden = names.length < TOOLS_FROM;
  write($("show-all").querySelector(".count"), number.format(names.length));
  write($("show-problems").querySelector(".count"), number.format(troubled));
  attribute($("show-all"), "aria-pressed", only === "all");
  attribute($("show-problems"), "aria-pressed", only === "problems");
  $("nobody").hidden = names.length === 0 || shown !== 0;
  write($("nobody"), only === "problems" && $("filter").value === "" ? "No tenant has a problem." : "No tenant is like that.");
  $("tenants").hidden = shown === 0;
}

// ---- events ----

function eventOf(event, isNew) {
  const item = element("li", isNew ? "fresh" : "");
  const kind = element("span", "kind", event.kind);
  kind.dataset.kind = event.kind;
  const when = element("time", "", ago(event.at));
  when.dataset.at = event.at;
  item.append(when, kind, element("span", "tenant", event.tenant), element("span", "id", event.id),
    element("span", "took", event.age === null ? "" : `after ${span(event.age)}`));
  if (event.title !== undefined) {
    const title = element("span", "title", event.title);
    if (event.severity) title.prepend(element("b", "", event.severity));
    item.append(title);
  }
  return item;
}

function showEvents(events, areNew) {
  const list = $("events");
  for (const event of events) list.prepend(eventOf(event, areNew));
  while (EVENTS_MAX < list.children.length) list.lastChild.remove();
  $("no-events").hidden = list.children.length !== 0;
}

// ---- the stream ----

function take(message) {
  heard = performance.now();
  const start = heard - message.t * 1000;
  // What came late only looks as if the daemon had started later.
  base = base === null ? start : Math.min(base, start);
  line("live", "live");
}

function everything(message) {
  base = null;
  take(message);
  Object.assign(state, {
    fixed: message.fixed, step: message.step, verdict: message.verdict, tenants: message.tenants, sinks: message.sinks,
    history: message.history,
  });
  $("sign-out").hidden = !message.fixed.locked;
  $("events").replaceChildren();
  showEvents(message.events, false);
  showAll();
}

function change(message) {
  take(message);
  // Whether there are more or fewer of them than before.
  let counted = false;
  for (const kind of ["tenants", "sinks"]) {
    let reorder = false;
    for (const [name, fields] of Object.entries(message[kind] ?? {})) {
      reorder ||= fields === null || "level" in fields || !(name in state[kind]);
      counted ||= fields === null || !(name in state[kind]);
      if (fields === null) forget(kind, name);
      else state[kind][name] = { ...state[kind][name], ...fields };
    }
    if (message.sample) sample(kind, message.sample[kind]);
    if (reorder) arrange(kind);
    const changed = message.sample ? Object.keys(state[kind]) : Object.keys(message[kind] ?? {});
    for (const name of changed) if (rows[kind].has(name)) update(rows[kind].get(name));
  }
  if (message.verdict) state.verdict = message.verdict;
  if (message.verdict || counted) showVerdict();
  if (message.events) showEvents(message.events, true);
}

// Who comes back under the same name begins anew.
function forget(kind, name) {
  delete state[kind][name];
  delete state.history[kind][name];
  opened.delete(`${kind}/${name}`);
}

const LINES = { tenants: ["lag", "freshness"], sinks: ["rate", "waiting"] };

function sample(kind, samples) {
  for (const [name, values] of Object.entries(samples)) {
    const history = (state.history[kind][name] ??= { lag: [], freshness: [], rate: [], waiting: [] });
    LINES[kind].forEach((which, at) => {
      history[which].push(values[at]);
      if (SAMPLES < history[which].length) history[which].shift();
    });
  }
}

function showAll() {
  for (const kind of ["sinks", "tenants"]) {
    arrange(kind);
    rows[kind].forEach(update);
  }
  showVerdict();
}

function line(how, word) {
  attribute($("line"), "data-state", how);
  write($("line"), word);
  document.body.classList.toggle("stale", how === "lost");
}

function lost() {
  const when = new Date(Date.now() - (performance.now() - heard)).toLocaleTimeString();
  line("lost", heard === 0 ? "no connection, trying again" : `no connection since ${when}, trying again`);
}

function connect() {
  source?.close();
  source = new EventSource("/events");
  source.addEventListener("all", (event) => everything(JSON.parse(event.data)));
  source.addEventListener("change", (event) => change(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    lost();
    // The browser tries again by itself, unless the answer was a refusal.
    if (source.readyState === EventSource.CLOSED) again();
  });
}

async function again() {
  await new Promise((done) => setTimeout(done, 2000 + Math.random() * 2000));
  try {
    // A session that has ended wants a new one.
    const answer = await fetch("/", { method: "HEAD", cache: "no-store" });
    if (answer.status === 401) { location.reload(); return; }
  } catch {
    // It does not answer: it is asked again below.
  }
  connect();
}

// What only grows older is written here, once a second, where it is to be seen.
function tick() {
  if (base === null || document.hidden) return;
  if (SILENCE_MAX < performance.now() - heard && source.readyState !== EventSource.CLOSED) {
    lost();
    heard = performance.now();
    connect();
    return;
  }
  for (const node of document.querySelectorAll("[data-since]")) write(node, since(Number(node.dataset.since)));
  for (const node of document.querySelectorAll("time[data-at]")) write(node, ago(Number(node.dataset.at)));
  for (const row of rows.tenants.values()) {
    if (row.node.hidden) continue;
    if (row.node.open) { update(row); continue; }
    const lag = ageOf(state.tenants[row.name].swept);
    if (lag !== null) write(row.figures[0].value, span(lag));
  }
  for (const row of rows.sinks.values()) if (row.node.open) update(row);
}

$("filter").addEventListener("input", () => arrange("tenants"));
$("show-all").addEventListener("click", () => { only = "all"; arrange("tenants"); });
$("show-problems").addEventListener("click", () => { only = "problems"; arrange("tenants"); });
document.addEventListener("visibilitychange", tick);
setInterval(tick, 1000);
connect();
