// Tabs as the ARIA Authoring Practices have them: one stop for the Tab key, arrows, Home and End between them.

export function tabs() {
  const all = [...document.querySelectorAll('[role="tab"]')];
  const panel = (tab) => document.getElementById(tab.getAttribute("aria-controls"));

  function choose(chosen, { focus = false } = {}) {
    for (const tab of all) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
      panel(tab).hidden = tab !== chosen;
    }
    if (focus) chosen.focus();
    // No element has this name, so that the Tab key still begins at the top.
    history.replaceState(null, "", `#view=${panel(chosen).id}`);
  }

  const list = document.querySelector('[role="tablist"]');
  list.addEventListener("click", (event) => {
    const tab = event.target.closest('[role="tab"]');
    if (tab) choose(tab);
  });
  list.addEventListener("keydown", (event) => {
    const at = all.indexOf(document.activeElement);
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (at < 0 || next === undefined) return;
    event.preventDefault();
    choose(all[(next + all.length) % all.length], { focus: true });
  });
  choose(all.find((tab) => `#view=${panel(tab).id}` === location.hash) ?? all[0]);
}
