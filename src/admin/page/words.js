// Words and numbers as people read them, and how they get onto the page: as text, never as markup.
let base = null; // performance.now() at the daemon's start

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function attribute(node, name, value) {
  if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

const number = new Intl.NumberFormat();

function span(seconds) {
  const s = Math.max(0, seconds);
  if (s < 9.95) return `${s < 1 ? "<1" : Math.round(s)} s`;
  if (s < 119.5) return `${Math.round(s)} s`;
  if (s < 7170) return `${Math.round(s / 60)} min`;
  if (s < 172_800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86_400)} days`;
}

function now() {
  return (performance.now() - base) / 1000;
}

function ageOf(moment) {
  return moment === null || moment === undefined ? null : now() - moment;
}

// The browser's clock time of a moment.
function clock(moment) {
  const time = new Date(Date.now() - ageOf(moment) * 1000);
  const today = new Date().toDateString() === time.toDateString();
  const date = today ? {} : { day: "numeric", month: "short" };
  return time.toLocaleString([], { ...date, hour: "2-digit", minute: "2-digit" });
}

function instant(text) {
  const time = new Date(text ?? NaN);
  if (Number.isNaN(time.getTime())) return text ?? "not yet";
  return `${time.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

function since(moment) {
  const age = ageOf(moment);
  if (age === null) return "";
  return age < 1.95 ? "since just now" : `for ${span(age)}, since ${clock(moment)}`;
}

function ago(moment) {
  const age = ageOf(moment);
  return age < 1.95 ? "just now" : `${span(age)} ago`;
}

function many(count, one, more) {
  return `${number.format(count)} ${count === 1 ? one : more}`;
}
