// The race's tab: starts a race, shows how far it is, plays the replay. All addresses are relative.
(() => {
  "use strict";
  const BUSY_MS = 400, IDLE_MS = 3000;
  const isTall = window.matchMedia("(max-width: 760px)");
  const said = (path, values) => window.photofinish.word(path, values);
  let shown = 0, timer = 0;

  // The panel "Measure properly" keeps the owner's key for this tab.
  const headers = () => { try { const key = sessionStorage.getItem("photofinish-owner"); return key ? { "X-Photofinish-Owner": key } : {}; } catch { return {}; } };

  const part = (root, selector) => root.querySelector(selector);
  const address = (what, race) => `race/${what}?language=${window.photofinish.language}&layout=${isTall.matches ? "tall" : "wide"}&race=${race}`;

  function play(root) {
    const video = part(root, "#pf-race-video");
    video.currentTime = 0;
    video.play().catch(() => {}); // a browser that plays nothing by itself waits for the button
  }

  function load(root, race) {
    const video = part(root, "#pf-race-video");
    shown = race;
    video.hidden = false;
    video.src = address("replay.mp4", race);
    part(root, "#pf-race-download").href = video.src;
    root.dataset.state = "drawing";
    note(root, said("race.page.drawing"));
    video.onloadeddata = () => { root.dataset.state = "done"; play(root); };
    video.onerror = () => unplayable(root, race);
  }

  // While something is measured no replay is drawn; it is asked for again with the next look at the state.
  async function unplayable(root, race) {
    const answer = await fetch(address("replay.mp4", race), { headers: { Range: "bytes=0-0" } }).catch(() => null);
    const refused = answer?.status === 503 ? await answer.json() : null;
    root.dataset.state = "failed";
    if (refused) { shown = 0; note(root, said(refused.word, refused.values)); } else note(root, said("race.page.unplayable"));
  }

  // The live view shows the last race while it stands still.
  function keep(race) {
    const stage = document.querySelector("#pf .pf-stage");
    if (!stage || !race) return;
    const image = stage.querySelector(".pf-race-last") ?? Object.assign(document.createElement("img"), { className: "pf-race-last" });
    const source = address("last.jpg", race);
    if (image.dataset.source === source) return;
    image.onerror = () => image.remove(); // not drawn while something is measured; asked for again
    // Refused while something is measured: gone until it is asked for again.
    Object.assign(image, { src: source, alt: said("race.page.last"), onerror: () => image.remove() }).dataset.source = source;
    stage.insertBefore(image, stage.querySelector(".pf-half"));
  }

  function note(root, text) {
    const node = part(root, ".pf-race-note");
    if (node.textContent !== text) node.textContent = text;
  }

  function show(root, state) {
    const bar = part(root, ".pf-race-bar"), start = part(root, "#pf-race-start");
    start.disabled = state.is_running;
    start.hidden = !state.may_start;
    start.textContent = said(state.race ? "race.page.again" : "race.page.start");
    bar.hidden = !state.is_running;
    if (state.share == null) bar.removeAttribute("value"); else bar.value = state.share;
    for (const name of ["#pf-race-play", "#pf-race-download"]) part(root, name).hidden = !state.race;
    const words = part(root, "#pf-race-said");
    if (words.dataset.shown !== JSON.stringify(state.said)) {
      words.dataset.shown = JSON.stringify(state.said);
      const [title, ...lines] = state.said;
      words.replaceChildren(...(title ? [Object.assign(document.createElement("b"), { textContent: title }), lines.join(" · ")] : []));
    }
    if (state.is_running) {
      root.dataset.state = "running";
      part(root, "#pf-race-video").pause();
      note(root, state.stage);
    } else if (state.failure) {
      root.dataset.state = "failed";
      note(root, state.failure);
    } else if (state.race && state.race !== shown) {
      root.dataset.state = "drawing";
      load(root, state.race);
    } else if (state.race && root.dataset.state === "running") {
      root.dataset.state = "done";
    }
  }

  // From the page's first second on: the live view keeps the last race, also for who never opens this tab.
  async function refresh() {
    clearTimeout(timer);
    const root = document.getElementById("pf-race");
    let isBusy = false;
    try {
      const answer = await fetch(`race/state?language=${window.photofinish.language}`, { cache: "no-store", headers: headers(), signal: AbortSignal.timeout(5000) });
      if (answer.ok) {
        const state = await answer.json();
        isBusy = state.is_running;
        keep(state.race);
        // A hidden tab loads no video.
        if (root && (root.offsetParent !== null || isBusy)) show(root, state);
      }
    } catch { /* the live view says when the server is gone */ }
    clearTimeout(timer); // two may have been on their way
    timer = setTimeout(refresh, isBusy || root?.dataset.state === "running" ? BUSY_MS : IDLE_MS);
  }

  async function start(root) {
    part(root, "#pf-race-start").disabled = true;
    const answer = await fetch("race/start", { method: "POST", headers: headers() }).catch(() => null);
    if (answer && answer.status === 409) note(root, said("race.page.busy"));
    if (answer && answer.status === 403) note(root, said("measuring.problem.not_owner"));
    refresh();
  }

  function begin(root) {
    part(root, "#pf-race-start").addEventListener("click", () => start(root));
    part(root, "#pf-race-play").addEventListener("click", () => play(root));
    isTall.addEventListener("change", () => { if (shown && root.isConnected) load(root, shown); });
    new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting)) refresh(); }).observe(root);
    refresh();
  }

  // Gradio puts a tab's content on the page when it is first opened, and may do so again; a click may follow at once.
  const begun = new WeakSet();
  const find = () => { const root = document.querySelector("#pf-race"); if (root && !begun.has(root)) { begun.add(root); shown = 0; begin(root); } };
  new MutationObserver(find).observe(document.documentElement, { childList: true, subtree: true });
  refresh();
})();
