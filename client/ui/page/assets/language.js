// The page's language: chosen before anything is drawn, kept by a click on the switch. PHOTOFINISH_WORDS and
// PHOTOFINISH_ASKED (what --lang said, or null) stand before this script. window.photofinish is for all other scripts.
(() => {
  "use strict";
  const KEY = "photofinish-language";
  // What --lang asks for is overruled in this tab only; without it a choice is remembered.
  const shelf = () => { try { return PHOTOFINISH_ASKED ? window.sessionStorage : window.localStorage; } catch { return null; } };
  const named = (text) => (text == null ? null : String(text).toLowerCase().startsWith("zh") ? "zh" : "en");

  function firstLanguage() {
    const typed = new URLSearchParams(location.search).get("lang");
    return named(typed) ?? named(shelf()?.getItem(KEY)) ?? named(PHOTOFINISH_ASKED) ?? named(navigator.language) ?? "en";
  }
  const language = firstLanguage();
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  // Functions on the server answer in the language that the page shows.
  document.cookie = `${KEY}=${language}; path=${location.pathname}; SameSite=Lax`;
  // Gradio draws its own words, and ours in its components, in the browser's language: tell it the page's.
  const told = language === "zh" ? "zh-CN" : "en";
  for (const [name, value] of [["language", told], ["languages", [told]]]) {
    Object.defineProperty(navigator, name, { get: () => value, configurable: true });
  }

  function word(path, values = {}) {
    const text = path.split(".").reduce((found, key) => (found == null ? found : found[key]), PHOTOFINISH_WORDS[language]);
    return typeof text === "string" ? text.replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole) : path;
  }

  // data-word: the node's text; data-word-ATTRIBUTE: that attribute of it.
  const ATTRIBUTES = ["title", "alt", "aria-label"];
  function fill(root) {
    const nodes = (selector) => [...(root.matches?.(selector) ? [root] : []), ...root.querySelectorAll(selector)];
    for (const node of nodes("[data-word]")) { const text = word(node.dataset.word); if (node.textContent !== text) node.textContent = text; }
    for (const attribute of ATTRIBUTES) {
      for (const node of nodes(`[data-word-${attribute}]`)) node.setAttribute(attribute, word(node.getAttribute(`data-word-${attribute}`)));
    }
  }

  function choose(other) {
    shelf()?.setItem(KEY, other);
    const address = new URL(location.href);
    address.searchParams.delete("lang");
    // Without storage (a strict frame) the address itself has to carry the choice.
    if (shelf()?.getItem(KEY) !== other) address.searchParams.set("lang", other);
    location.href === address.href ? location.reload() : location.replace(address);
  }

  window.photofinish = { language, word, fill, choose };

  function begin() {
    fill(document.body);
    new MutationObserver((changes) => {
      for (const change of changes) for (const node of change.addedNodes) if (node.nodeType === 1) fill(node);
    }).observe(document.body, { childList: true, subtree: true });
    document.addEventListener("click", (event) => {
      if (event.target.closest?.("#pf-language")) choose(language === "zh" ? "en" : "zh");
    });
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin); else begin();
})();
