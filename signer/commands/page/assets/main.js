// Asks the command for the state every few seconds, and shows what is new.

import { age, element, fill, filter, time, word } from "./tables.js";
import { tabs } from "./tabs.js";
import { bar, daysTo, said, scale } from "./timeline.js";
import { draw } from "./trust.js";

const SECONDS = 2, PATIENCE = 10;
const byId = (id) => document.getElementById(id);
const code = (text) => (text ? element("code", { textContent: text }) : "");
const list = (texts) => texts.join(", ");

const STATES = { true: ["ok", "good"], false: ["look", "warn"], null: ["unknown", ""] };
const SEVERITIES = { error: "bad", warning: "warn", unknown: "", note: "" };
const STANDS = { refused: "bad", failing: "bad", waits: "warn", told: "", ready: "good", "not ready": "bad", unknown: "", issuing: "warn", waiting: "warn" };
const state = (text) => word(text, STANDS[text] ?? "");

const TABLES = {
  parts: [[
    ["Part", (row) => row.part],
    ["State", (row) => word(...STATES[row.ok])],
    ["What", (row) => row.what, "wide"],
  ], "Nothing is known."],
  findings: [[
    ["Severity", (row) => word(row.severity, SEVERITIES[row.severity] ?? "")],
    ["Check", (row) => row.check],
    ["What", (row) => row.what, "wide"],
    ["Where", (row) => row.where, "short"],
    ["How to mend it", (row) => row.mend, "wide"],
    ["Code", (row) => code(row.code), "whole"],
  ], "No findings."],
  notes: [[["Note", (row) => row.note]], "None."],
  tenants: [[
    ["Namespace", (row) => row.namespace || (row.others ? `(${row.others} others)` : "-")],
    ["Signer", (row) => row.signer, "short"],
    ["Status", (row) => word(row.enforced ? row.status : `${row.status} (audit)`, row.refused ? "bad" : "good")],
    ["CA ends", (row) => time(row.caEnds)],
    ["Last issued", (row) => time(row.lastIssued)],
    ["Why", (row) => row.why, "wide"],
  ], "No namespace has a signer: none claims one, and the mesh has no default."],
  bridges: [[
    ["Client", (row) => list(row.from)],
    ["Namespace", (row) => list(row.to)],
    ["Status", (row) => word(list([row.status, ...row.warnings]), row.status !== "open" ? "bad" : row.warnings.length ? "warn" : "good")],
    ["By", (row) => row.by, "short"],
    ["Hosts", (row) => list(row.hosts), "wide"],
    ["Ends", (row) => time(row.until)],
  ], "There is no TenantBridge."],
  roots: [[
    ["Root", (row) => row.subject || "(of several)"],
    ["Key", (row) => code(row.keyId), "whole"],
    ["Signers", (row) => list(row.signers)],
    ["Trusted by", (row) => list(row.tenants)],
    ["Shared", (row) => (row.shared ? word(row.shared, "bad") : word("one tenant's", "good")), "wide"],
  ], "The mesh config has no root for a signer."],
  policies: [[
    ["SignerPolicy", (row) => row.name],
    ["Signers", (row) => list(row.signers)],
    ["Namespaces", (row) => list(row.namespaces)],
    ["Labels", (row) => list(row.labels)],
    ["Problem", (row) => (row.problem ? word(row.problem, "bad") : "")],
  ], "There is no SignerPolicy."],
  line: [[
    ["Signer", (row) => row.issuer],
    ["Ends", (row) => time(row.ends)],
    ["At", (row) => row.ends, "whole"],
    ["State", (row) => word(...said(row.ends))],
    [scale(), (row) => bar(row.ends)],
  ], "No CA could be read."],
  signers: [[
    ["Signer", (row) => row.issuer],
    ["State", (row) => state(row.state)],
    ["Type", (row) => row.type || "-"],
    ["Of the mesh", (row) => (row.default ? "the default" : row.mesh ? "yes" : "no")],
    ["Owner", (row) => row.owner],
    ["SignerPolicies", (row) => list(row.policies)],
    ["CA", (row) => row.subject, "short"],
    ["Key", (row) => code(row.keyId), "whole"],
    ["CA ends", (row) => time(row.ends)],
    ["Why", (row) => list([row.why, ...row.warnings].filter(Boolean)), "wide"],
  ], "There is no issuer."],
  waits: [[
    ["Object", (row) => `${row.kind} ${row.namespace ? `${row.namespace}/` : ""}${row.name}`],
    ["State", (row) => state(row.state)],
    ["Reason", (row) => row.reason, "short"],
    ["Why", (row) => (row.count > 1 ? `${row.why} (${row.count} times)` : row.why), "wide"],
    ["Since", (row) => time(row.since)],
    ["More", (row) => code(row.ask), "short"],
  ], "Nothing is refused, and nothing waits."],
  hosts: [[
    ["Host", (row) => row.host || "-"],
    ["Wanted by", (row) => `${row.wantedBy.kind} ${row.wantedBy.namespace}/${row.wantedBy.name}`],
    ["Issuer", (row) => row.issuer],
    ["State", (row) => state(row.state)],
    ["Served", (row) => ({ true: "yes", false: "no" }[row.served] ?? "-")],
    ["Ends", (row) => time(row.ends)],
    ["Renewal", (row) => time(row.renewal)],
    ["Why", (row) => row.why, "wide"],
  ], "No Gateway or Ingress wants a certificate."],
  gaps: [[["What", (row) => row.gap]], "Everything could be read."],
};

// Whose new rows are said to screen readers, also where others went: what is issued all day would never be silent.
const LOUD = new Set(["parts", "findings", "waits"]);

const wanted = () => byId("filter").value.trim().toLowerCase();
const counts = new Map();
let picture = "";

function show(view) {
  byId("cluster").textContent = view.server;
  const gaps = { rows: view.gaps.map((gap) => ({ gap })), more: 0, problem: "" };
  const ends = view.signers.rows.filter((row) => row.ends).sort((one, other) => daysTo(one.ends) - daysTo(other.ends));
  const sections = { ...view, gaps, line: { ...view.signers, rows: ends } };
  const news = [];
  for (const [name, [columns, none]] of Object.entries(TABLES)) {
    const fresh = fill(name, columns, sections[name], none, (place) => filter(place, wanted()));
    const count = sections[name].rows.length + sections[name].more;
    if (counts.has(name) && (counts.get(name) !== count || (fresh && LOUD.has(name)))) {
      news.push(`${byId(`h-${name}`).textContent}: ${count}, ${fresh} new`);
    }
    counts.set(name, count);
  }
  const text = JSON.stringify(view.picture);
  if (text !== picture) draw(byId("picture"), view.picture);
  picture = text;
  if (news.length) byId("news").textContent = news.join("; ");
}

function away(text) {
  const place = byId("away");
  if (place.textContent !== text) place.textContent = text;
  place.hidden = text === "";
}

// The token comes behind the # of the URL that the command printed, and goes from the address at once.
function takeToken() {
  const found = /^#token=([\w-]+)$/.exec(location.hash);
  if (found) {
    sessionStorage.setItem("token", found[1]);
    history.replaceState(null, "", location.pathname);
  }
  return found !== null;
}

let tag = "";

async function ask() {
  const token = sessionStorage.getItem("token") ?? "";
  const headers = { Authorization: `Bearer ${token}`, ...(tag ? { "If-None-Match": tag } : {}) };
  let answer, told;
  try {
    answer = await fetch("/state", { headers, cache: "no-store", redirect: "error", signal: AbortSignal.timeout(PATIENCE * 1000) });
    if (answer.status === 200) told = await answer.json();
  } catch {
    return away("mesh-signer ui does not answer any more: start it again, and open the URL that it prints.");
  }
  if (answer.status !== 200 && answer.status !== 304) return away((await answer.text()).trim());
  const read = answer.headers.get("Mesh-Signer-Read");
  byId("read").textContent = read ? `Read at ${new Date(read).toLocaleTimeString()}` : "The cluster is being read.";
  if (told) {
    tag = answer.headers.get("ETag");
    if (told.view) show(told.view);
    away(told.away && told.view ? `${told.away}. What is shown was read before.` : told.away);
  }
  age();
}

let timer = 0;

async function turn() {
  clearTimeout(timer);
  if (!document.hidden) await ask();
  timer = setTimeout(turn, SECONDS * 1000);
}

takeToken();
tabs();
byId("filter").addEventListener("input", () => {
  for (const place of document.querySelectorAll("[data-table]")) filter(place, wanted());
});
window.addEventListener("hashchange", () => { if (takeToken()) turn(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) turn(); });
turn();
