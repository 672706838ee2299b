"use strict";
// Keeps pages up to date: fetches the page that is shown and swaps the parts marked data-live. Pages work without it.
(() => {
  const period = Number(document.body.dataset.refresh);
  const button = document.querySelector("button.live");
  const status = document.getElementById("connection");
  const points = 60;
  const seen = new Map(); // series → {at, values}, for the trend
  let paused = false;
  let timer = 0;
  let running = null;

  // trends draws what was seen of each series since the page was opened.
  function trends() {
    for (const row of document.querySelectorAll("tr[data-series]")) {
      const value = Number(row.dataset.value);
      let past = seen.get(row.dataset.series);
      if (!past) seen.set(row.dataset.series, past = { at: "", values: [] });
      if (past.at !== row.dataset.at && Number.isFinite(value)) {
        past.at = row.dataset.at;
        past.values.push(value);
        if (past.values.length > points) past.values.shift();
      }
      const line = row.querySelector("polyline");
      if (!line || past.values.length < 2) continue;
      const low = Math.min(...past.values), high = Math.max(...past.values);
      const first = points - past.values.length;
      line.setAttribute("points", past.values.map((v, i) => {
        const y = high > low ? 20 - 18 * (v - low) / (high - low) : 11;
        return `${((first + i) * 120 / (points - 1)).toFixed(1)},${y.toFixed(1)}`;
      }).join(" "));
    }
  }

  // swap replaces the live parts, and keeps what is open and what has the focus.
  function swap(fresh) {
    const selection = getSelection();
    for (const part of document.querySelectorAll("[data-live]")) {
      const next = fresh.getElementById(part.id);
      if (!next) continue;
      if (selection && !selection.isCollapsed && part.contains(selection.anchorNode)) continue; // somebody is copying
      const open = new Set([...part.querySelectorAll("details[open]")].map((d) => d.dataset.key));
      const active = part.contains(document.activeElement) ? document.activeElement : null;
      const key = active && active.closest("details")?.dataset.key;
      const href = active && active.getAttribute("href");
      const left = part.querySelector(".scroll")?.scrollLeft ?? 0;
      part.replaceChildren(...next.childNodes);
      for (const d of part.querySelectorAll("details")) if (open.has(d.dataset.key)) d.open = true;
      if (left) part.querySelector(".scroll")?.scrollTo(left, 0);
      if (key) part.querySelector(`details[data-key="${CSS.escape(key)}"] summary`)?.focus({ preventScroll: true });
      else if (href) part.querySelector(`a[href="${CSS.escape(href)}"]`)?.focus({ preventScroll: true });
    }
    trends();
  }

  async function refresh() {
    clearTimeout(timer);
    running?.abort();
    const mine = running = new AbortController();
    const limit = setTimeout(() => mine.abort(), 15000);
    let ok = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, signal: mine.signal });
      if (!answer.ok) throw new Error(answer.statusText);
      swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch {
      ok = false;
    }
    clearTimeout(limit);
    if (running !== mine) return; // a newer one has taken over
    const text = ok ? "" : "no answer from the agent, trying again";
    if (status.textContent !== text) status.textContent = text;
    button?.classList.toggle("lost", !ok);
    schedule();
  }

  function schedule() {
    clearTimeout(timer);
    if (period && !paused && !document.hidden) timer = setTimeout(refresh, period);
  }

  for (const form of document.querySelectorAll("form[data-live-form]")) {
    let wait = 0;
    form.classList.add("scripted");
    form.addEventListener("input", () => {
      clearTimeout(wait);
      wait = setTimeout(() => {
        const query = new URLSearchParams([...new FormData(form)].filter(([, v]) => v !== ""));
        history.replaceState(null, "", query.size ? "?" + query : location.pathname);
        refresh();
      }, 250);
    });
  }
  if (button) {
    button.hidden = false;
    button.addEventListener("click", () => {
      paused = !paused;
      button.setAttribute("aria-pressed", String(!paused));
      button.textContent = paused ? "paused" : "live";
      if (!paused) refresh();
      else clearTimeout(timer);
    });
  }
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && period && !paused) refresh();
  });
  trends();
  schedule();
})();
