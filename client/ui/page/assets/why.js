// Fills the tab that says why, once a second while it is looked at. All text is set as text.
(() => {
  "use strict";
  const PERIOD_MS = 1000, HISTORY_S = 60, COLOURS = { baseline: "#e69f00", optimised: "#56b4e9" };
  const gpu = [];
  let drawn = "";
  const make = (tag, text, className) => { const node = document.createElement(tag); if (text != null) node.textContent = text; if (className) node.className = className; return node; };
  function shape(tag, attributes, text) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text != null) node.textContent = text;
    return node;
  }

  function ladder(root, found) {
    root.querySelector("#pf-why-note").textContent = found.ladder_note;
    const now = JSON.stringify(found.ladder);
    if (now === drawn) return;
    drawn = now;
    const longest = Math.max(...found.ladder.map((step) => step.ms), 1e-9);
    root.querySelector("#pf-why-ladder").replaceChildren(...found.ladder.map((step) => {
      const row = make("div", null, "pf-step"), bar = make("div"), fill = make("i");
      fill.style.width = `${(100 * step.ms) / longest}%`;
      bar.append(fill, make("em", `${step.text} · ${step.times}`));
      row.append(make("b", step.name), bar, make("small", step.why));
      return row;
    }));
  }

  // The numbers beside the chart: 0, and one or two round ones.
  function ticks(top) {
    const power = 10 ** Math.floor(Math.log10(top));
    const step = [0.5, 1, 2, 5].map((part) => part * power).find((part) => top / part < 3);
    return Array.from({ length: Math.floor(top / step) + 1 }, (_, index) => Number((index * step).toPrecision(3)));
  }

  // Lines of [seconds ago, value], drawn as large as they are shown; a gap of more than three seconds is a gap.
  function lines(svg, series, unit) {
    const width = Math.max(svg.clientWidth, 200), height = Number(svg.dataset.height);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const top = Math.max(...series.flatMap((line) => line.points.map((point) => point[1])), 1e-9) * 1.1;
    const x = (ago) => 60 + (width - 70) * (1 - ago / HISTORY_S), y = (value) => 8 + (height - 34) * (1 - value / top);
    const parts = ticks(top).map((value) => [
      shape("line", { x1: 60, x2: width - 10, y1: y(value), y2: y(value), stroke: "#262c33" }),
      shape("text", { x: 54, y: y(value) + 5, "text-anchor": "end" }, String(value)),
    ]).flat();
    parts.push(shape("text", { x: 60, y: height - 4 }, photofinish.word("page.why.ago")), shape("text", { x: width - 10, y: height - 4, "text-anchor": "end" }, `${photofinish.word("page.why.now")} · ${unit}`));
    for (const line of series) {
      let path = "";
      const begins = (index) => index === 0 || line.points[index - 1][0] - line.points[index][0] > 3;
      line.points.forEach(([ago, value], index) => {
        path += `${begins(index) ? "M" : "L"}${x(ago).toFixed(1)} ${y(value).toFixed(1)}`;
        // One alone is a dot: a slow side has a frame in some seconds.
        const is_last = index + 1 === line.points.length || begins(index + 1);
        if (begins(index) && is_last) parts.push(shape("circle", { cx: x(ago), cy: y(value), r: 3, fill: line.colour }));
      });
      parts.push(shape("path", { d: path || "M0 0", fill: "none", stroke: line.colour, "stroke-width": 2.5 }));
    }
    svg.replaceChildren(...parts);
  }

  function show(root, found) {
    ladder(root, found);
    const series = Object.entries(found.latency).map(([side, points]) => ({ points, colour: COLOURS[side] }));
    lines(root.querySelector("#pf-why-latency"), series, photofinish.word("page.ms"));
    root.querySelector("#pf-why-gpu").hidden = !found.gpu;
    if (!found.gpu) return;
    const now_s = performance.now() / 1000;
    gpu.push({ at_s: now_s, ...found.gpu });
    while (gpu.length && now_s - gpu[0].at_s > HISTORY_S) gpu.shift();
    for (const svg of root.querySelectorAll("[data-gpu]")) {
      const points = gpu.map((reading) => [now_s - reading.at_s, reading[svg.dataset.gpu]]);
      lines(svg, [{ points, colour: COLOURS.optimised }], { load: "%", power: "W", memory: "MiB" }[svg.dataset.gpu]);
    }
  }

  async function look() {
    const root = document.getElementById("pf-why");
    if (root && root.offsetParent && !document.hidden) {
      try {
        const answer = await fetch(`view/why?language=${photofinish.language}`, { cache: "no-store", signal: AbortSignal.timeout(5000) });
        if (answer.ok) show(root, await answer.json());
      } catch { /* the page says when its server is lost */ }
    }
    setTimeout(look, PERIOD_MS);
  }
  look();
})();
