// "Folders and videos": a video goes up, its progress is asked for, the annotated one comes down.
(() => {
  "use strict";
  const MAX_BYTES = 200_000_000, PERIOD_MS = 700;
  const word = (path, values) => window.photofinish.word(path, values);
  const owner = () => { try { return sessionStorage.getItem("photofinish-owner"); } catch { return null; } };
  const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.round(seconds) % 60).padStart(2, "0")}`;

  function begin(root) {
    const get = (id) => root.querySelector(`#${id}`);
    let token = null, upload = null;

    function say(text, isWrong = false) { get("vid-note").textContent = text; get("vid-note").classList.toggle("pf-wrong", isWrong); }
    function bar(share) { get("vid-bar").hidden = share == null; get("vid-bar").firstElementChild.style.width = `${100 * (share ?? 0)}%`; }
    function settle(state) {
      root.dataset.state = state;
      const isBusy = state === "uploading" || state === "running";
      get("vid-stop").hidden = !isBusy; get("vid-file").disabled = isBusy;
      if (!isBusy) bar(null);
    }

    function send(file) {
      get("vid-result").hidden = true;
      get("vid-player").removeAttribute("src");
      if (token) fetch(`videos/${token}`, { method: "DELETE" });
      token = null;
      if (file.size > MAX_BYTES) { say(word("picture.problem.too_large", { limit: MAX_BYTES / 1e6 }), true); return; }
      settle("uploading");
      upload = new XMLHttpRequest(); // fetch does not tell how much has gone
      upload.upload.onprogress = (event) => { bar(event.loaded / event.total / 5); say(word("picture.videos.uploading", { share: Math.round(100 * event.loaded / event.total) })); };
      upload.onload = () => {
        let said = {};
        try { said = JSON.parse(upload.responseText); } catch { /* a proxy's own page */ }
        if (upload.status !== 200) { settle("idle"); say(word(said.word ?? "picture.problem.lost", said.values), true); return; }
        token = said.token; settle("running"); ask();
      };
      upload.onerror = () => { settle("idle"); say(word("picture.problem.lost"), true); };
      upload.onabort = () => { settle("idle"); say(word("picture.videos.stopped")); };
      upload.open("POST", `videos?every=${get("vid-every").value}`);
      if (owner()) upload.setRequestHeader("X-Photofinish-Owner", owner()); // a visitor's video gives way to a measurement
      upload.send(file);
    }

    async function ask() {
      const mine = token;
      let job = null;
      try {
        const answer = await fetch(`videos/${mine}`);
        job = await answer.json();
        if (mine !== token) return;
        if (!answer.ok) { settle("idle"); say(word(job.word, job.values), true); return; }
      } catch { say(word("picture.problem.lost"), true); setTimeout(() => { if (mine === token) ask(); }, 3 * PERIOD_MS); return; }
      if (job.state === "running") {
        bar(0.2 + (job.total ? 0.8 * job.done / job.total : 0));
        say(job.left_s == null ? word("picture.videos.begins") : word("picture.videos.running", { done: job.done, total: job.total, left: clock(job.left_s) }));
        setTimeout(ask, PERIOD_MS);
        return;
      }
      settle(job.state === "done" ? "done" : "idle");
      if (job.state === "failed") { say(job.word ? word(job.word, job.values) : word("picture.problem.video_failed", { message: job.message }), true); return; }
      if (job.state !== "done") { say(word("picture.videos.stopped")); return; }
      say(word(job.is_cut ? "picture.videos.done_cut" : "picture.videos.done", { done: job.done, boxes: job.boxes, minutes: Math.round(job.kept_s / 60) }));
      get("vid-mp4").href = get("vid-player").src = `videos/${mine}/annotated.mp4`;
      get("vid-json").href = `videos/${mine}/detections.jsonl`;
      get("vid-result").hidden = false;
    }

    get("vid-file").addEventListener("change", (event) => { if (event.target.files[0]) send(event.target.files[0]); event.target.value = ""; });
    get("vid-stop").addEventListener("click", () => {
      if (root.dataset.state === "uploading") { upload.abort(); return; }
      if (token) fetch(`videos/${token}`, { method: "DELETE" });
      token = null; settle("idle"); say(word("picture.videos.stopped"));
    });
    window.addEventListener("pagehide", () => { if (token && root.dataset.state === "running") fetch(`videos/${token}`, { method: "DELETE", keepalive: true }); });
  }

  const begun = new WeakSet();
  const find = () => { const root = document.querySelector("#vid"); if (root && !begun.has(root)) { begun.add(root); begin(root); } };
  new MutationObserver(find).observe(document.documentElement, { childList: true, subtree: true });
})();
