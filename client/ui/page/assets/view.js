// Fills the page from view/state twice a second and keeps the stream running. All addresses are relative.
(() => {
  "use strict";
  const PERIOD_MS = 500;
  let failures = 0, run = null;

  const lookUp = (object, path) => path.split(".").reduce((value, key) => (value == null ? value : value[key]), object);
  const all = (root, attribute) => root.querySelectorAll(`[data-${attribute}]`);
  const setText = (node, text) => { if (node.textContent !== text) node.textContent = text; };

  function openStream(root) {
    for (const node of all(root, "stream")) {
      const address = node.dataset.stream + (node.dataset.stream.includes("?") ? "&" : "?") + "t=" + Date.now();
      if (node.tagName === "SOURCE") node.srcset = address; else node.src = address;
    }
  }

  function show(root, screen) {
    for (const node of all(document, "text")) setText(node, lookUp(screen, node.dataset.text) ?? "–");
    for (const node of all(root, "small")) node.classList.toggle("pf-small", !lookUp(screen, node.dataset.small));
    for (const node of all(document, "title")) node.title = lookUp(screen, node.dataset.title) ?? "";
    for (const node of all(root, "hide")) node.hidden = !lookUp(screen, node.dataset.hide);
    const rates = Object.fromEntries(Object.entries(screen.sides).map(([side, part]) => [side, part.numbers.frames_per_s ?? 0]));
    const fastest = Math.max(...Object.values(rates), 1e-9);
    for (const node of all(root, "bar")) node.style.width = `${(100 * rates[node.dataset.bar]) / fastest}%`;
    root.querySelector("#pf-ratio").classList.toggle("pf-won", screen.ratio.is_won);
    root.querySelector("#pf-ratio").classList.toggle("pf-two", Boolean(screen.ratio.plain));
    root.classList.toggle("pf-void", screen.ratio.is_void);
    const warnings = root.querySelector("#pf-warnings");
    if (warnings.dataset.shown !== JSON.stringify(screen.warnings)) {
      warnings.dataset.shown = JSON.stringify(screen.warnings);
      warnings.replaceChildren(...screen.warnings.map((text) => Object.assign(document.createElement("p"), { textContent: text })));
    }
  }

  // Above the head, where every tab shows it.
  function setState(root, state) {
    root.dataset.state = state;
    document.getElementById("pf-lost").hidden = state !== "lost";
  }

  async function refresh(root) {
    try {
      const answer = await fetch(`view/state?language=${photofinish.language}`, { cache: "no-store", signal: AbortSignal.timeout(5000) });
      if (!answer.ok) throw new Error(answer.statusText);
      const screen = await answer.json();
      // Photofinish was started anew: its sources and variants are others.
      if (run !== null && run !== screen.run) { location.reload(); return; }
      run = screen.run;
      show(root, screen);
      setState(root, "live");
      if (failures) openStream(root);
      failures = 0;
    } catch {
      failures += 1;
      if (failures > 2) setState(root, "lost");
    }
    setTimeout(() => refresh(root), PERIOD_MS);
  }

  // Gradio takes the class away whenever the system changes to its light scheme: dark text on our dark ground.
  function stayDark() {
    const darken = () => { if (!document.body.classList.contains("dark")) document.body.classList.add("dark"); };
    darken();
    new MutationObserver(darken).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  }

  function begin() {
    stayDark();
    fill();
  }

  function fill() {
    const root = document.getElementById("pf");
    if (!root) { setTimeout(fill, 50); return; }
    // The picture leaves room for whatever the banner takes, at every width.
    const warnings = root.querySelector("#pf-warnings");
    new ResizeObserver(() => root.style.setProperty("--pf-banner", `${warnings.offsetHeight}px`)).observe(warnings);
    openStream(root);
    root.querySelector("#pf-stream").addEventListener("error", () => { failures += 1; });
    refresh(root);
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin); else begin();
})();
