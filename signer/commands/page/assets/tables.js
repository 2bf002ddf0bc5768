// Tables of what was read. Every text goes in by textContent: names and messages are written by tenants.

export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

const UNITS = [[86400, "d"], [3600, "h"], [60, "m"]];

// "in 89d", "5m ago", as the commands say it; "" for no time.
export function ago(text, now = Date.now()) {
  if (!text) return "";
  const seconds = Math.trunc((Date.parse(text) - now) / 1000);
  if (Number.isNaN(seconds)) return text;
  const long = Math.abs(seconds);
  const [size, letter] = UNITS.find(([one]) => long >= 2 * one) ?? [1, "s"];
  const span = `${Math.floor(long / size)}${letter}`;
  return seconds > 0 ? `in ${span}` : `${span} ago`;
}

export const time = (text) => (text ? element("time", { dateTime: text, title: text, textContent: ago(text) }) : "");

// Words carry the meaning; the colour and the sign before them only help.
const SIGNS = { good: "✓", bad: "✗", warn: "!", "": "·" };
export const word = (text, kind) => element("span", { className: kind }, `${SIGNS[kind]} ${text}`);

const seen = new Map();

// Writes a table into its place, if it says anything new, and returns how many rows are new. `columns` are [title, cell of a row, class]; the first names the row.
export function fill(name, columns, section, none, visible) {
  const place = document.querySelector(`[data-table="${name}"]`);
  const before = seen.get(name);
  const text = JSON.stringify(section);
  if (before?.text === text) return 0;
  const keys = new Set(section.rows.map((row) => JSON.stringify(row)));
  seen.set(name, { text, keys });
  const parts = [];
  if (section.problem) parts.push(element("p", { className: "problem", textContent: section.problem }));
  if (section.rows.length) {
    const head = element("tr", {}, ...columns.map(([title]) => {
      const cell = element("th", { scope: "col" });
      cell.append(title);
      return cell;
    }));
    const body = section.rows.map((row) => {
      const fresh = before !== undefined && !before.keys.has(JSON.stringify(row));
      const cells = columns.map(([, cell, kind], index) =>
        element(index ? "td" : "th", index ? { className: kind ?? "" } : { scope: "row" }, cell(row) ?? ""));
      return element("tr", { className: fresh ? "fresh" : "" }, ...cells);
    });
    const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
    table.setAttribute("aria-labelledby", place.getAttribute("aria-labelledby"));
    const scroll = element("div", { className: "scroll", tabIndex: 0 }, table);
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-labelledby", place.getAttribute("aria-labelledby"));
    parts.push(scroll);
  } else if (!section.problem) {
    parts.push(element("p", { className: "none", textContent: none }));
  }
  if (section.more) {
    parts.push(element("p", { className: "more", textContent: `${section.more} more are not shown here; the commands list all.` }));
  }
  const focused = place.contains(document.activeElement);
  place.replaceChildren(...parts);
  if (focused) place.querySelector(".scroll")?.focus({ preventScroll: true });
  visible(place);
  return place.querySelectorAll("tr.fresh").length;
}

// Hides the rows that have not the text.
export function filter(place, wanted) {
  for (const row of place.querySelectorAll("tbody tr")) {
    row.hidden = wanted !== "" && !row.textContent.toLowerCase().includes(wanted);
  }
}

// Times are said anew as they pass, whether or not anything else changes.
export function age() {
  for (const one of document.querySelectorAll("time")) one.textContent = ago(one.dateTime);
}
