// The picture: tenants, their signers, and the roots that workloads of these trust, in three columns with lines between them.

const SPACE = "http://www.w3.org/2000/svg";
const WIDTH = 1080, ROW = 34, BOX = 26, TOP = 34;
const COLUMNS = { tenant: [10, 250], signer: [410, 260], root: [800, 270] };
const TITLES = { tenant: "Tenants", signer: "Signers", root: "Roots" };

function shape(name, attributes = {}, ...children) {
  const made = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

// From what the command says to nodes, each with its neighbours and a sentence for those who do not see it.
function nodesOf(picture) {
  const nodes = new Map();
  const add = (kind, index, title, more = {}) =>
    nodes.set(`${kind}-${index}`, { id: `${kind}-${index}`, kind, index, title, near: [], ...more });
  picture.tenants.forEach((name, index) => add("tenant", index, name));
  picture.signers.forEach((name, index) => add("signer", index, name));
  picture.roots.forEach((root, index) => add("root", index, root.subject || `key ${root.keyId}`, { shared: root.shared }));
  const lines = [
    ...picture.claims.map((one) => ({ from: `tenant-${one.tenant}`, to: `signer-${one.signer}`, refused: one.refused, status: one.status, bridge: one.bridge })),
    ...picture.trusts.map((one) => ({ from: `signer-${one.signer}`, to: `root-${one.root}`, refused: false, status: "trusts" })),
  ];
  for (const line of lines) {
    nodes.get(line.from).near.push([line.to, line]);
    nodes.get(line.to).near.push([line.from, line]);
  }
  return [nodes, lines];
}

function sentence(node, nodes) {
  const parts = node.near.map(([id, line]) => `${TITLES[nodes.get(id).kind].slice(0, -1).toLowerCase()} ${nodes.get(id).title} (${line.status})`);
  const shared = node.shared ? "; shared by tenants who so trust each other" : "";
  return `${TITLES[node.kind].slice(0, -1)} ${node.title}${shared}${parts.length ? `: ${parts.join(", ")}` : ""}`;
}

// What a node reaches: along granted lines from tenant to root and back; of refused ones only the line itself.
function reached(start, nodes) {
  const found = new Set([start.id]), lines = new Set();
  const walk = (node, kinds) => {
    for (const [id, line] of node.near) {
      const next = nodes.get(id);
      if (!kinds.includes(next.kind)) continue;
      lines.add(line);
      found.add(id);
      if (!line.refused) walk(next, kinds.slice(kinds.indexOf(next.kind) + 1));
    }
  };
  const order = ["tenant", "signer", "root"], at = order.indexOf(start.kind);
  walk(start, order.slice(at + 1));
  walk(start, order.slice(0, at).reverse());
  return [found, lines];
}

const middle = (index) => TOP + index * ROW + BOX / 2;

export function draw(place, picture) {
  const [nodes, lines] = nodesOf(picture);
  const focused = document.activeElement?.closest("#picture g[data-id]")?.dataset.id;
  if (!nodes.size) {
    const none = document.createElement("p");
    none.className = "none";
    none.textContent = "No tenant has a signer.";
    place.replaceChildren(none);
    return;
  }
  const rows = Math.max(picture.tenants.length, picture.signers.length, picture.roots.length);
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${TOP + rows * ROW + 8}`, role: "group", "aria-labelledby": "h-picture" });
  for (const [kind, [x]] of Object.entries(COLUMNS)) {
    svg.append(shape("text", { class: "title", x, y: 20 }, TITLES[kind]));
  }
  const paths = new Map();
  for (const line of lines) {
    const [from, to] = [nodes.get(line.from), nodes.get(line.to)];
    const [x1, x2] = [COLUMNS[from.kind][0] + COLUMNS[from.kind][1], COLUMNS[to.kind][0]];
    const [y1, y2] = [middle(from.index), middle(to.index)], bend = (x2 - x1) / 2;
    const path = shape("path", {
      d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`, class: line.refused ? "refused" : line.bridge ? "bridge" : "", "aria-hidden": "true",
    }, shape("title", {}, line.status));
    paths.set(line, path);
    svg.append(path);
    if (line.refused) {
      svg.append(shape("text", { class: "word", x: (x1 + x2) / 2, y: (y1 + y2) / 2 - 4, "text-anchor": "middle", "aria-hidden": "true" }, `✗ ${cut(line.status, 18)}`));
    }
  }
  const drawn = new Map();
  for (const node of nodes.values()) {
    const [x, width] = COLUMNS[node.kind], y = TOP + node.index * ROW;
    const text = node.shared ? `! shared: ${node.title}` : node.title;
    const group = shape("g", { "data-id": node.id, role: "img", tabindex: "-1", "aria-label": sentence(node, nodes), class: node.shared ? "shared" : "" },
      shape("title", {}, sentence(node, nodes)),
      shape("rect", { x, y, width, height: BOX, rx: 4 }),
      shape("text", { x: x + 8, y: y + 18 }, cut(text, Math.floor(width / 7.4))));
    drawn.set(node.id, group);
    svg.append(group);
  }
  const light = (id) => {
    const [found, lit] = id ? reached(nodes.get(id), nodes) : [new Set(), new Set()];
    for (const [name, group] of drawn) group.classList.toggle("lit", found.has(name));
    for (const [line, path] of paths) path.classList.toggle("lit", lit.has(line));
  };
  const select = (id) => {
    for (const group of drawn.values()) group.setAttribute("tabindex", "-1");
    drawn.get(id).setAttribute("tabindex", "0");
  };
  // Not on the svg itself: Chromium takes one that listens for focus for a stop of the Tab key.
  const frame = document.createElement("div");
  frame.append(svg);
  const idOf = (event) => event.target.closest("g[data-id]")?.dataset.id;
  frame.addEventListener("focusin", (event) => { select(idOf(event)); light(idOf(event)); });
  frame.addEventListener("focusout", () => light(null));
  frame.addEventListener("mouseover", (event) => light(idOf(event)));
  frame.addEventListener("mouseleave", () => light(null));
  frame.addEventListener("keydown", (event) => {
    const node = nodes.get(idOf(event));
    const next = node && move(node, nodes, event.key);
    if (!next) return;
    event.preventDefault();
    drawn.get(next).focus();
  });
  select(nodes.keys().next().value);
  place.replaceChildren(frame);
  if (picture.more) {
    const more = document.createElement("p");
    more.className = "more";
    more.textContent = `${picture.more} more lines are not drawn; the tables have them.`;
    place.append(more);
  }
  if (focused) drawn.get(nodes.has(focused) ? focused : nodes.keys().next().value).focus({ preventScroll: true });
}

// Up and down within a column, left and right along a line.
function move(node, nodes, key) {
  const order = ["tenant", "signer", "root"];
  if (key === "ArrowDown" || key === "ArrowUp") {
    const id = `${node.kind}-${node.index + (key === "ArrowDown" ? 1 : -1)}`;
    return nodes.has(id) ? id : null;
  }
  const side = { ArrowRight: 1, ArrowLeft: -1 }[key];
  const kind = side && order[order.indexOf(node.kind) + side];
  return node.near.map(([id]) => id).find((id) => nodes.get(id).kind === kind) ?? null;
}
