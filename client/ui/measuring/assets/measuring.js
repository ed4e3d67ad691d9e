// "Measure properly": the owner starts a comparison; everybody sees its progress and its report. All addresses are relative.
(() => {
  "use strict";
  const PERIOD_MS = 1000, IDLE_MS = 4000, KEY = "photofinish-owner";
  const word = (path, values) => window.photofinish.word(path, values);
  const FILES = { report: "measuring.file.report", csv: "measuring.file.csv", pdf: "measuring.file.pdf", json: "measuring.file.json" };
  const PHASES = { waiting: "measuring.phase.waiting", measuring: "measuring.phase.measuring", reporting: "measuring.phase.reporting", done: "measuring.phase.done", failed: "measuring.phase.failed", stopped: "measuring.phase.stopped" };

  // The owner's link brings the key once; it stays with this tab, and leaves the address, which may be shown or shared.
  const shelf = () => { try { return window.sessionStorage; } catch { return null; } };
  const address = new URL(location.href);
  const owner = address.searchParams.get("owner") ?? shelf()?.getItem(KEY) ?? "";
  if (address.searchParams.has("owner")) {
    shelf()?.setItem(KEY, owner);
    address.searchParams.delete("owner");
    history.replaceState(null, "", address);
  }
  const headers = owner ? { "X-Photofinish-Owner": owner } : {};
  const asking = (path, values) => { const asked = new URLSearchParams(values); return asked.size ? `${path}?${asked}` : path; };

  function begin(root) {
    const get = (id) => root.querySelector(`#${id}`);
    const language = window.photofinish.language;
    let shown = null, last = "";

    const say = (text, isWrong = false) => { get("mea-note").textContent = text; get("mea-note").classList.toggle("pf-wrong", isWrong); };
    // A link may be shown and forwarded: it has the run's own ticket in it, never the owner's key.
    const place = (run, kind, more) => asking(`measuring/runs/${encodeURIComponent(run.name)}/${kind}`, { ...(run.ticket ? { ticket: run.ticket } : {}), ...more });

    function show(run) {
      shown = run.name;
      const kind = language === "zh" && run.kinds.includes("report.zh") ? "report.zh" : "report";
      get("mea-frame").src = place(run, kind);
      get("mea-title").textContent = run.titles[language];
      get("mea-files").replaceChildren(...["report", "pdf", "csv", "json"].filter((file) => run.kinds.includes(file)).map((file) => {
        const link = document.createElement("a");
        link.className = "mea-file"; link.textContent = word(FILES[file]); link.dataset.file = file; link.download = "";
        link.href = place(run, file === "report" ? kind : file, { download: "1" });
        return link;
      }));
      get("mea-report").hidden = false;
    }

    function list(runs) {
      const now = JSON.stringify([runs, shown]);
      if (now === last) return;
      last = now;
      get("mea-none").hidden = runs.length > 0;
      get("mea-runs").replaceChildren(...runs.map((run) => {
        const item = document.createElement("li"), button = document.createElement("button");
        const when = document.createElement("time"), title = document.createElement("span");
        button.type = "button"; button.dataset.run = run.name;
        if (run.name === shown) button.setAttribute("aria-current", "true");
        when.textContent = new Date(run.written_s * 1000).toLocaleString(language === "zh" ? "zh-CN" : "en-GB");
        title.textContent = run.titles[language];
        button.append(when, title);
        button.addEventListener("click", () => { show(run); list(runs); });
        item.append(button);
        return item;
      }));
    }

    function apply(state) {
      const runs = ["waiting", "measuring", "reporting"].includes(state.phase);
      const finished = root.dataset.phase !== state.phase && state.phase === "done" && root.dataset.phase !== "idle";
      root.dataset.phase = state.phase;
      get("mea-start").hidden = !state.may_start || runs; get("mea-stop").hidden = !state.may_start || !runs;
      get("mea-owner").hidden = state.may_start;
      get("mea-bar").hidden = !runs; get("mea-bar").firstElementChild.style.width = `${100 * (state.share ?? 0)}%`;
      get("mea-line").textContent = runs && state.line ? word("measuring.line", { line: state.line }) : "";
      const text = PHASES[state.phase], named = (source) => source || word("measuring.street");
      get("mea-source").textContent = word(state.source ? "measuring.on" : "measuring.on_street", { source: state.source });
      if (state.reason?.word.startsWith("page.reserved.")) say(word(state.reason.word, state.reason.values), true); // nothing was begun
      else if (text) say(word(text, { source: named(state.measured), seconds: state.spent_s, message: state.reason ? word(state.reason.word, state.reason.values) : state.message }), state.phase === "failed"); else say("");
      if (finished) { const run = state.runs.find((item) => item.name === state.name); if (run) show(run); }
      list(state.runs);
    }

    async function follow() {
      if (!root.isConnected) return;
      let pause = IDLE_MS;
      if (root.offsetParent) {
        try {
          const state = await (await fetch("measuring/state", { headers })).json();
          apply(state);
          if (state.share != null) pause = PERIOD_MS;
        } catch { say(word("measuring.problem.lost"), true); }
      } else pause = PERIOD_MS / 2;
      setTimeout(follow, pause);
    }

    async function order(path) {
      try {
        const answer = await fetch(path, { method: "POST", headers });
        if (!answer.ok) { const said = await answer.json(); say(word(said.word, said.values), true); return; }
        apply(await (await fetch("measuring/state", { headers })).json());
      } catch { say(word("measuring.problem.lost"), true); }
    }
    get("mea-start").addEventListener("click", () => { root.dataset.phase = "starting"; order("measuring/start"); });
    get("mea-stop").addEventListener("click", () => order("measuring/stop"));
    follow();
  }

  const begun = new WeakSet();
  const find = () => { const root = document.querySelector("#mea"); if (root && !begun.has(root)) { begun.add(root); begin(root); } };
  new MutationObserver(find).observe(document.documentElement, { childList: true, subtree: true });
})();
