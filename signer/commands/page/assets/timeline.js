// When CAs end: a bar for each, from now to its end, on a scale that has room for days and for years.

const SPACE = "http://www.w3.org/2000/svg";
const DAY = 86400000, WIDTH = 600, HEIGHT = 20, SOON = 14;
const TICKS = [[1, "1d"], [7, "1w"], [30, "30d"], [90, "90d"], [365, "1y"], [1825, "5y"], [3650, "10y"]];
const LONGEST = 7300;

const place = (days) => (WIDTH - 30) * Math.log1p(Math.max(0, Math.min(days, LONGEST))) / Math.log1p(LONGEST);
export const daysTo = (text) => (Date.parse(text) - Date.now()) / DAY;

function shape(name, attributes, ...children) {
  const made = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function lines() {
  const ticks = TICKS.map(([days]) => shape("line", { class: "tick", x1: place(days), x2: place(days), y1: 0, y2: HEIGHT }));
  return [...ticks, shape("line", { class: "limit", x1: place(SOON), x2: place(SOON), y1: 0, y2: HEIGHT })];
}

const frame = (...children) =>
  shape("svg", { class: "line", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" }, ...children);

export function scale() {
  const labels = TICKS.map(([days, text]) => shape("text", { x: place(days) + 2, y: 14 }, text));
  return frame(...lines(), ...labels);
}

export function bar(ends) {
  const days = daysTo(ends);
  return frame(...lines(), shape("rect", { class: days <= SOON ? "soon" : "bar", x: 0, y: 5, width: Math.max(3, place(days)), height: 10, rx: 2 }));
}

export function said(ends) {
  const days = daysTo(ends);
  return days <= 0 ? ["has ended", "bad"] : days <= SOON ? ["ends soon", "warn"] : ["ok", "good"];
}
