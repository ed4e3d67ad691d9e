// Fills the page from cameras/state once a second. All addresses are relative; all text is set as text.
(() => {
  "use strict";
  const PERIOD_MS = 1000;
  const PHONE = window.matchMedia("(max-width: 760px)");
  const CAUSES = ["not_connected", "stalled", "not_decodable", "before_keyframe", "superseded", "too_old", "degraded", "server_failed", "stopped"];
  const COLOURS = ["#e69f00", "#f0e442", "#d55e00", "#cc79a7", "#0072b2", "#7a5fd0", "#b8860b", "#ff5c5c", "#8a8f98"];
  const COLUMNS = ["camera", "state", "quality", "fps", "due", "inferred", "dropped", "cause", "p50", "p95", "p99", "wrong"];
  const LEFT = new Set(["camera", "state", "quality", "cause", "wrong"]);
  let language = firstLanguage(), sorting = { key: "trouble", down: true }, failures = 0, last = null, chosen = null;

  function firstLanguage() {
    const asked = new URLSearchParams(location.search).get("lang") ?? localStorage.getItem("photofinish-language") ?? navigator.language;
    return asked.toLowerCase().startsWith("zh") ? "zh" : "en";
  }
  const word = (...path) => path.reduce((value, key) => (value == null ? value : value[key]), PHOTOFINISH_WORDS[language]) ?? path.at(-1);
  const filled = (text, values) => text.replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);
  const get = (id) => document.getElementById(id);
  const setText = (node, text) => { if (node.textContent !== text) node.textContent = text; };
  const make = (tag, className, text) => { const node = document.createElement(tag); node.className = className ?? ""; if (text != null) node.textContent = text; return node; };
  const number = (value) => (value == null ? "–" : Math.abs(value) >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(3))));
  const lost = (count) => Object.values(count.dropped).reduce((sum, value) => sum + value, 0);
  const percent = (count) => (count.due ? `${(100 * lost(count) / count.due).toFixed(1)} %` : "–");
  const duration = (seconds) => [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60].map((part) => String(part).padStart(2, "0")).join(":");
  const playing = (row) => row.ingest.phase === "playing";
  const state = (row) => [word("phase", row.ingest.phase), word("step", row.step)].filter(Boolean).join(language === "zh" ? "，" : ", ");
  const mostly = (row) => Object.entries(row.count.dropped).sort((a, b) => b[1] - a[1])[0]?.[0];

  // What the cell says, in the reader's language: by the table of its messages; what is not in it stays as it is.
  const MESSAGES = PHOTOFINISH_MESSAGES.map(([said, translated]) => {
    const keys = [...said.matchAll(/\{(\w+)\}/g)].map((found) => found[1]);
    const pattern = said.split(/\{\w+\}/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("([^]+?)");
    return { keys, pattern: new RegExp(`^${pattern}$`), translated, size: said.length };
  }).sort((a, b) => a.keys.length - b.keys.length || b.size - a.size);
  function translated(message) {
    if (language === "en" || !message) return message;
    for (const { keys, pattern, translated: text } of MESSAGES) {
      const found = pattern.exec(message);
      if (found) return filled(text, Object.fromEntries(keys.map((key, at) => [key, translated(found[at + 1])])));
    }
    return message;
  }

  function wrong(row) {
    const said = row.ingest.message || row.decode_message, message = translated(said);
    const next = row.ingest.next_try_s == null ? "" : filled(word("next_try"), { seconds: row.ingest.next_try_s.toFixed(0) });
    const problem = language === "en" ? "" : word("problem", row.ingest.problem);
    const text = !message ? problem : problem && message === said ? `${problem}（${message}）` : message;
    const between = /[?？]$/.test(text) ? (language === "zh" ? "" : " ") : language === "zh" ? "，" : "; ";
    return [text, next].filter(Boolean).join(between);
  }

  const WORTH = {
    trouble: (row) => (playing(row) ? 0 : 2) + (row.count.due ? lost(row.count) / row.count.due : 0),
    camera: (row) => row.camera, state: (row) => row.ingest.phase, quality: (row) => ["none", "poor", "fair", "excellent"].indexOf(row.quality),
    fps: (row) => row.served_fps, due: (row) => row.count.due, inferred: (row) => row.count.inferred, dropped: (row) => lost(row.count),
    cause: (row) => mostly(row) ?? "", p50: (row) => row.p50_ms ?? -1, p95: (row) => row.p95_ms ?? -1, p99: (row) => row.p99_ms ?? -1, wrong: (row) => wrong(row),
  };
  const CELLS = {
    camera: (row) => row.camera, state, quality: (row) => word("quality", row.quality),
    fps: (row) => `${number(row.served_fps)} ${word("of")} ${number(row.wanted_fps)}`, due: (row) => String(row.count.due), inferred: (row) => String(row.count.inferred),
    dropped: (row) => `${lost(row.count)} (${percent(row.count)})`, cause: (row) => (mostly(row) ? word("cause", mostly(row)) : "–"),
    p50: (row) => number(row.p50_ms), p95: (row) => number(row.p95_ms), p99: (row) => number(row.p99_ms), wrong: (row) => wrong(row) || "–",
  };

  function sorted(rows) {
    const sign = sorting.down ? -1 : 1, worth = WORTH[sorting.key];
    const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
    return [...rows].sort((a, b) => sign * compare(worth(a), worth(b)) || a.camera.localeCompare(b.camera));
  }

  function showHeads() {
    get("pc-heads").replaceChildren(...COLUMNS.map((key) => {
      const cell = make("th", `pc-${key}${LEFT.has(key) ? " pc-left" : ""}`), button = make("button", "pc-sort", word("column", key));
      button.type = "button";
      button.addEventListener("click", () => { sorting = { key, down: sorting.key === key ? !sorting.down : !LEFT.has(key) }; showAll(); showHeads(); });
      if (sorting.key === key) cell.setAttribute("aria-sort", sorting.down ? "descending" : "ascending");
      cell.append(button);
      return cell;
    }));
    get("pc-trouble").classList.toggle("pc-on", sorting.key === "trouble");
  }

  // Rows and tiles keep their elements, so that a click is never lost to a refresh.
  function keyed(parent, tag, keys, fresh) {
    const known = new Map([...parent.children].map((node) => [node.dataset.key, node]));
    const nodes = keys.map((key) => known.get(key) ?? Object.assign(fresh(key), {}));
    nodes.forEach((node, index) => { node.dataset.key = keys[index]; if (parent.children[index] !== node) parent.insertBefore(node, parent.children[index] ?? null); });
    while (parent.children.length > nodes.length) parent.lastChild.remove();
    return nodes;
  }

  function showRows(rows) {
    const nodes = keyed(get("pc-rows"), "tr", rows.map((row) => row.camera), (name) => {
      const line = make("tr");
      for (const key of COLUMNS) line.append(make("td", `pc-${key}${LEFT.has(key) ? " pc-left" : ""}`));
      const button = make("button", "pc-link");
      button.type = "button";
      button.addEventListener("click", () => open(name));
      line.firstChild.append(button);
      return line;
    });
    nodes.forEach((node, index) => {
      const row = rows[index];
      node.dataset.quality = row.quality;
      COLUMNS.forEach((key, column) => {
        if (key === "camera") setText(node.children[0].firstChild, row.camera);
        else setText(node.children[column], CELLS[key](row));
      });
      // A phone shows the state with what is wrong, beneath the figures.
      node.lastChild.dataset.state = row.ingest.phase === "playing" && row.step === "full" ? "" : state(row);
      node.lastChild.dataset.wrong = wrong(row) ? "some" : "";
    });
  }

  function showMosaic() {
    const grid = last.grids[PHONE.matches ? "tall" : "wide"], rows = last.cameras.slice(0, last.tiles);
    const stage = get("pc-stage"), tiles = get("pc-tiles");
    stage.style.aspectRatio = `${16 * grid.columns} / ${9 * grid.rows}`;
    stage.style.maxWidth = PHONE.matches ? "" : `calc(${(16 * grid.columns) / (9 * grid.rows)} * 72vh)`;
    tiles.style.gridTemplateColumns = `repeat(${grid.columns}, 1fr)`;
    tiles.style.gridTemplateRows = `repeat(${grid.rows}, 1fr)`;
    const nodes = keyed(tiles, "button", rows.map((row) => row.camera), (name) => {
      const button = make("button", "pc-tile");
      button.type = "button";
      button.append(make("span", "pc-tag"), make("span", "pc-away"));
      button.addEventListener("click", () => open(name));
      return button;
    });
    nodes.forEach((node, index) => {
      node.dataset.quality = rows[index].quality;
      setText(node.children[0], rows[index].camera);
      setText(node.children[1], playing(rows[index]) ? "" : word("phase", rows[index].ingest.phase));
    });
    const more = get("pc-more");
    more.hidden = last.tiles >= last.cameras.length;
    setText(more, filled(word("more_tiles"), { shown: last.tiles, count: last.cameras.length }));
  }

  function showPairs(list, pairs) {
    if (list.dataset.language !== language || list.children.length !== pairs.length) {
      list.dataset.language = language;
      list.replaceChildren(...pairs.map(([name]) => { const box = make("div"); box.append(make("dt", "", name), make("dd")); return box; }));
    }
    pairs.forEach(([, value], index) => setText(list.children[index].lastChild, value));
  }

  function showAll() {
    if (!last || last.starting) return;
    const rows = last.cameras, sum = (value) => rows.reduce((total, row) => total + value(row), 0);
    showPairs(get("pc-sums"), [
      [word("sum", "playing"), `${rows.filter(playing).length} ${word("of")} ${rows.length}`], [word("sum", "fps"), number(sum((row) => row.served_fps))],
      [word("sum", "due"), String(sum((row) => row.count.due))], [word("sum", "inferred"), String(sum((row) => row.count.inferred))],
      [word("sum", "dropped"), String(sum((row) => lost(row.count)))], [word("sum", "pending"), String(sum((row) => row.count.pending))],
    ]);
    showMosaic();
    showRows(sorted(rows));
  }

  function showChart(spans) {
    const chart = get("pc-chart"), width = 900 / 90;
    const bars = spans.map((span, index) => {
      const total = span.inferred + Object.values(span.dropped).reduce((sum, value) => sum + value, 0), left = 900 - (spans.length - index) * width;
      const parts = [[span.inferred, "#2f6f4f"], ...CAUSES.map((cause, at) => [span.dropped[cause] ?? 0, COLOURS[at]])];
      let top = 160;
      return total ? parts.filter(([count]) => count).map(([count, colour]) => {
        const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect"), height = (160 * count) / total;
        top -= height;
        for (const [name, value] of Object.entries({ x: left, y: top, width: width - 1, height, fill: colour })) bar.setAttribute(name, value);
        return bar;
      }) : [];
    });
    chart.replaceChildren(...bars.flat());
  }

  function showOne(row) {
    setText(get("pc-name"), row.camera);
    const ingest = row.ingest, count = row.count, size = row.size_wh ? row.size_wh.join(" × ") : "–";
    showPairs(get("pc-facts"), [
      [word("fact", "state"), state(row)], [word("fact", "quality"), word("quality", row.quality)], [word("fact", "wrong"), wrong(row) || "–"],
      [word("fact", "frames"), `${count.due} = ${count.inferred} + ${lost(count)} + ${count.pending}`], [word("fact", "fps"), `${number(row.served_fps)}, ${number(row.wanted_fps)}`],
      [word("fact", "latency"), [row.p50_ms, row.p95_ms, row.p99_ms].map(number).join(", ")],
      [word("fact", "codec"), `${ingest.codec || "–"}, ${size}`], [word("fact", "sent"), `${number(ingest.measured_fps)}, ${number(ingest.announced_fps)}`],
      [word("fact", "keyframe"), ingest.keyframe_interval_s == null ? "–" : `${number(ingest.keyframe_interval_s)} s`], [word("fact", "sampling"), word("sampling", row.sampling)],
      [word("fact", "decode"), [word("decode", row.decode), translated(row.decode_reason)].filter(Boolean).join(language === "zh" ? "：" : ": ")],
      [word("fact", "clock"), ingest.pictures ? word("clock", ingest.clock) : "–"], [word("fact", "reconnects"), `${Math.max(ingest.connections - 1, 0)}, ${ingest.stalls}`],
      [word("fact", "lost_packets"), String(ingest.lost_packets)], [word("fact", "priority"), String(row.priority)], [word("fact", "address"), row.shown_url],
    ]);
    setText(get("pc-picture-away"), playing(row) ? "" : word("phase", ingest.phase));
    showChart(row.spans);
    const entries = [["inferred", "#2f6f4f", count.inferred, word("sum", "inferred")], ...CAUSES.map((cause, at) => [cause, COLOURS[at], count.dropped[cause] ?? 0, word("cause", cause)])];
    get("pc-legend").replaceChildren(...entries.filter(([, , value]) => value).map(([, colour, value, text]) => {
      const item = make("li", "", `${text} ${value}`);
      item.style.setProperty("--colour", colour);
      return item;
    }));
    if (!row.spans.length) get("pc-legend").append(make("li", "pc-soft pc-plain", word("nothing_yet")));
    setText(get("pc-lines"), ingest.lines.join("\n") || word("no_lines"));
  }

  function open(name) { location.hash = name == null ? "" : `camera=${encodeURIComponent(name)}`; }
  function stream(image, address) { if (image.dataset.address !== address) { image.dataset.address = address; if (address) image.src = `${address}&t=${Date.now()}`; else image.removeAttribute("src"); } }

  function showStreams() {
    const layout = PHONE.matches ? "tall" : "wide", hidden = document.hidden;
    stream(get("pc-mosaic"), chosen == null && !hidden ? `cameras/mosaic.mjpg?layout=${layout}` : "");
    stream(get("pc-picture"), chosen != null && !hidden ? `cameras/picture.mjpg?camera=${encodeURIComponent(chosen)}` : "");
  }

  function choose() {
    const found = /^#camera=(.+)$/.exec(location.hash);
    chosen = found ? decodeURIComponent(found[1]) : null;
    get("pc-all").hidden = chosen != null;
    get("pc-one").hidden = chosen == null;
    get("pc-picture").alt = filled(word("picture"), { camera: chosen ?? "" });
    for (const id of ["pc-facts", "pc-legend", "pc-chart"]) get(id).replaceChildren();
    for (const id of ["pc-lines", "pc-name", "pc-picture-away"]) setText(get(id), id === "pc-name" ? chosen ?? "" : "");
    showStreams();
    window.scrollTo(0, 0);
    refresh();
  }

  function showWords() {
    document.documentElement.lang = language;
    for (const node of get("pc").querySelectorAll("[data-word]")) setText(node, word(node.dataset.word));
    setText(get("pc-language"), word("language"));
    get("pc-mosaic").alt = word("mosaic");
    get("pc-chart").setAttribute("aria-label", word("over_time"));
    showHeads();
    showAll();
  }

  function degraded(rows) {
    const found = new Map(rows.filter((row) => row.step !== "full").map((row) => [`${row.priority} ${row.step}`, row]));
    const steps = [...found.values()].map((row) => filled(word("degraded"), { priority: row.priority, step: word("step", row.step) }));
    const pooled = rows.filter((row) => row.decode === "pool").length;
    return pooled ? [...steps, filled(word("pooled"), { count: pooled })] : steps;
  }

  function showNotes(notes) {
    const list = get("pc-notes"), shown = JSON.stringify(notes);
    if (list.dataset.shown !== shown) { list.dataset.shown = shown; list.replaceChildren(...notes.map((text) => make("p", "", text))); }
  }

  async function load(address) {
    const answer = await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok && answer.status !== 404) throw new Error(answer.statusText);
    return answer.ok ? answer.json() : null;
  }

  async function refresh() {
    const wanted = chosen;
    try {
      last = await load("cameras/state");
      const one = wanted == null || last.starting ? null : await load(`cameras/camera?name=${encodeURIComponent(wanted)}`);
      if (wanted !== chosen) return;
      const notes = last.starting ? [word("starting")] : [...(last.server_message ? [filled(word("server"), { message: translated(last.server_message) })] : []), ...(language === "en" ? last.notes : degraded(last.cameras))];
      if (last.silence_s > 10) notes.unshift(filled(word("silent"), { seconds: last.silence_s.toFixed(0) }));
      if (wanted != null && !one && !last.starting) notes.push(word("gone"));
      showNotes(notes);
      if (one) showOne(one); else if (wanted == null) showAll();
      setText(get("pc-foot"), last.starting ? "" : filled(word("foot"), { variant: last.variant || "–", time: duration(last.uptime_s) }));
      get("pc").dataset.state = last.starting ? "starting" : "live";
      if (failures) { for (const id of ["pc-mosaic", "pc-picture"]) get(id).dataset.address = ""; showStreams(); }
      failures = 0;
    } catch {
      failures += 1;
      if (failures > 2) { get("pc").dataset.state = "lost"; showNotes([word("lost")]); }
    }
  }

  // Gradio takes the class away whenever the system changes to its light scheme: dark text on our dark ground.
  function stayDark() {
    const darken = () => { if (!document.body.classList.contains("dark")) document.body.classList.add("dark"); };
    darken();
    new MutationObserver(darken).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  }

  async function keepUp() { await refresh(); setTimeout(keepUp, PERIOD_MS); }

  function begin() {
    if (!get("pc")) { setTimeout(begin, 50); return; }
    stayDark();
    get("pc-language").addEventListener("click", () => { language = language === "en" ? "zh" : "en"; localStorage.setItem("photofinish-language", language); showWords(); refresh(); });
    get("pc-trouble").addEventListener("click", () => { sorting = { key: "trouble", down: true }; showHeads(); showAll(); });
    get("pc-back").addEventListener("click", () => open(null));
    window.addEventListener("hashchange", choose);
    document.addEventListener("visibilitychange", showStreams);
    PHONE.addEventListener("change", () => { showStreams(); showAll(); });
    showWords();
    choose();
    setTimeout(keepUp, PERIOD_MS);
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin); else begin();
})();
