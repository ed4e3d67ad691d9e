// "Try a picture": a file, a pasted picture, an example or the camera goes to both sides. All addresses are relative.
(() => {
  "use strict";
  const MAX_BYTES = 20_000_000, PAUSE_MS = 400, CAMERA_SIDE = 1280;
  const word = (path, values) => window.photofinish.word(path, values);
  const COMMA = { en: ", ", zh: "、" };
  const number = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));

  function begin(root) {
    const get = (id) => root.querySelector(`#${id}`);
    const language = window.photofinish.language;
    let stream = null, number_of_try = 0;

    function say(text, isWrong = false) {
      const note = get("pic-note");
      note.textContent = text;
      note.classList.toggle("pf-wrong", isWrong);
    }

    async function attempt(blob) {
      const mine = ++number_of_try;
      if (blob.size > MAX_BYTES) { refuse(word("picture.problem.too_large", { limit: MAX_BYTES / 1e6 })); return false; }
      if (!stream) say(word("picture.working"));
      root.dataset.state = "working";
      try {
        const answer = await fetch("picture/try", { method: "POST", body: blob });
        const said = await answer.json();
        if (mine !== number_of_try) return true;
        if (!answer.ok) { refuse(word(said.word, said.values)); return false; }
        show(said);
        if (!stream) get("pic-verdict").scrollIntoView({ block: "nearest", behavior: "smooth" });
        if (!stream) say("");
        root.dataset.state = "shown";
        return true;
      } catch {
        refuse(word("picture.problem.lost"));
        return false;
      }
    }

    // What was shown before is of another picture; a camera's goes on with its next one.
    function refuse(text) {
      say(text, true);
      root.dataset.state = "refused";
      if (!stream) get("pic-result").hidden = true;
    }

    function show(found) {
      for (const side of ["baseline", "optimised"]) {
        const one = found.sides[side], alone = found.difference.only[side].map(([name, score]) => `${name} ${score.toFixed(2)}`);
        get(`pic-${side}`).src = one.picture;
        get(`pic-${side}-ms`).textContent = `${number(one.ms)} ms`;
        get(`pic-${side}-variant`).textContent = one.variant;
        get(`pic-${side}-boxes`).replaceChildren(...one.boxes.map((box) => {
          const item = document.createElement("li");
          item.textContent = `${box.name} ${box.score.toFixed(2)}`;
          if (alone.includes(item.textContent)) item.className = "pic-alone";
          return item;
        }));
      }
      const line = (text) => { const node = document.createElement("p"); node.textContent = text; return node; };
      get("pic-verdict").replaceChildren(...[sooner(found.sides), ...differences(found.difference)].map(line));
      if (found.untrained) get("pic-verdict").append(line(word("picture.untrained")));
      get("pic-result").hidden = false;
    }

    function sooner({ baseline, optimised }) {
      const ratio = baseline.ms / optimised.ms;
      const values = { baseline: number(baseline.ms), optimised: number(optimised.ms), ratio: number(ratio >= 1 ? ratio : 1 / ratio) };
      return word(ratio >= 1 ? "picture.sooner" : "picture.later", values);
    }

    function differences({ both, only, confidence, pixels }) {
      const lines = [], names = (items) => items.map(([name, score]) => `${name} ${score.toFixed(2)}`).join(COMMA[language]);
      const alone = only.baseline.length + only.optimised.length;
      if (!both && !alone) return [word("picture.difference.nothing")];
      const values = { both, confidence: confidence.toFixed(2), pixels: pixels.toFixed(1) };
      if (both) lines.push(word(alone ? "picture.difference.common" : both === 1 ? "picture.difference.one" : "picture.difference.same", values));
      if (only.baseline.length) lines.push(word("picture.difference.only_baseline", { names: names(only.baseline) }));
      if (only.optimised.length) lines.push(word("picture.difference.only_optimised", { names: names(only.optimised) }));
      return lines;
    }

    // A camera gives one picture after the other: the next when the last was answered.
    async function look() {
      const video = get("pic-video"), canvas = document.createElement("canvas");
      while (stream) {
        const scale = Math.min(1, CAMERA_SIDE / Math.max(video.videoWidth, video.videoHeight, 1));
        canvas.width = Math.round(video.videoWidth * scale); canvas.height = Math.round(video.videoHeight * scale);
        if (canvas.width && canvas.height) {
          canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
          const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
          if (stream && !(await attempt(blob))) await new Promise((resolve) => setTimeout(resolve, 4 * PAUSE_MS));
        }
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    }

    async function switchCamera() {
      const video = get("pic-video"), button = get("pic-camera");
      if (stream) {
        stream.getTracks().forEach((track) => track.stop());
        stream = null; video.srcObject = null; video.hidden = true;
        button.textContent = word("picture.camera.start");
        return;
      }
      if (!navigator.mediaDevices) { say(word("picture.camera.insecure"), true); return; }
      try {
        stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } } });
      } catch (problem) {
        say(word(problem.name === "NotAllowedError" ? "picture.camera.refused" : "picture.camera.none"), true);
        return;
      }
      say("");
      video.srcObject = stream; video.hidden = false;
      button.textContent = word("picture.camera.stop");
      await video.play();
      look();
    }

    async function fillGallery() {
      try {
        const { examples } = await (await fetch("picture/examples")).json();
        get("pic-gallery").replaceChildren(...examples.map((name, place) => {
          const button = document.createElement("button"), image = document.createElement("img");
          button.type = "button"; button.dataset.example = name;
          image.alt = word("picture.example", { number: place + 1 });
          image.src = `picture/examples/${encodeURIComponent(name)}`;
          button.append(image);
          button.addEventListener("click", async () => attempt(await (await fetch(image.src)).blob()));
          return button;
        }));
      } catch { get("pic-gallery").textContent = word("picture.problem.lost"); }
    }

    const file = get("pic-file"), drop = get("pic-drop");
    file.addEventListener("change", () => { if (file.files[0]) attempt(file.files[0]); file.value = ""; });
    for (const kind of ["dragover", "dragleave", "drop"]) {
      drop.addEventListener(kind, (event) => {
        event.preventDefault();
        drop.classList.toggle("pic-over", kind === "dragover");
        if (kind === "drop" && event.dataTransfer.files[0]) attempt(event.dataTransfer.files[0]);
      });
    }
    document.addEventListener("paste", (event) => {
      const pasted = [...(event.clipboardData?.files ?? [])].find((item) => item.type.startsWith("image/"));
      if (pasted && root.isConnected && root.offsetParent) { event.preventDefault(); attempt(pasted); }
    });
    get("pic-slider").addEventListener("input", (event) => get("pic-compare").style.setProperty("--at", `${event.target.value}%`));
    get("pic-camera").addEventListener("click", switchCamera);
    fillGallery();
  }

  // Gradio puts a tab's content on the page when it is first opened, and may do so again.
  const begun = new WeakSet();
  const find = () => { const root = document.querySelector("#pic"); if (root && !begun.has(root)) { begun.add(root); begin(root); } };
  new MutationObserver(find).observe(document.documentElement, { childList: true, subtree: true });
})();
