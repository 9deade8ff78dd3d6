// Keeps an open page up to date. Without it every page still works, it only stands still.
// News name what changed; parts of the page marked data-live are then fetched again and swapped.
"use strict";
(() => {
  const MIN_MS = 2000; // between two fetches of the page
  const IDLE_MS = 30000; // ages and values move on although nothing was announced
  const AGAIN_MS = 15000; // after the server refused the stream
  const light = document.getElementById("light");
  let source = null;
  let wanted = null; // the timer of the next fetch
  let fetched = Date.now();
  let skew = 0; // our clock minus the centre's
  let broken = false;

  // Ages

  const STEPS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

  function age(seconds) {
    let rest = Math.max(0, Math.floor(seconds));
    for (let at = 0; at < STEPS.length; at += 1) {
      const [unit, size] = STEPS[at];
      if (rest < size) continue;
      const first = Math.floor(rest / size);
      if (first >= 10 || at + 1 === STEPS.length) return `${first} ${unit}`;
      const second = Math.floor((rest % size) / STEPS[at + 1][1]);
      return second ? `${first} ${unit} ${second} ${STEPS[at + 1][0]}` : `${first} ${unit}`;
    }
    return "0 s";
  }

  function setClock() {
    const now = document.getElementById("now");
    if (now) skew = Date.now() - Date.parse(now.dateTime);
  }

  function showAges() {
    const now = Date.now() - skew;
    for (const time of document.querySelectorAll("time[data-age]")) {
      const text = age((now - Date.parse(time.dateTime)) / 1000);
      if (time.textContent !== text) time.textContent = text;
    }
  }

  function showOwnTime() {
    for (const time of document.querySelectorAll("time[datetime]:not([data-own])")) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      time.dataset.own = "";
      time.title = `${time.title}\n${at.toLocaleString()} here`.trim();
    }
  }

  // Fetching the page again

  function ask(delay) {
    if (wanted !== null) return;
    const wait = Math.max(delay, fetched + MIN_MS - Date.now());
    wanted = setTimeout(() => {
      wanted = null;
      refresh();
    }, Math.max(0, wait));
  }

  async function refresh() {
    if (document.hidden || !document.querySelector("[data-live]")) return;
    fetched = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (answer.redirected && new URL(answer.url).pathname === "/login") {
        location.reload();
        return;
      }
      if (!answer.ok) return;
      const text = await answer.text();
      swap(new DOMParser().parseFromString(text, "text/html"));
    } catch (error) {
      // The centre is away: the stream says so, and asks again when it is back.
    }
  }

  function swap(news) {
    for (const fresh of news.querySelectorAll("[data-live]")) {
      const old = document.getElementById(fresh.id);
      if (!old) continue;
      const known = new Set(Array.from(old.querySelectorAll("[data-key]"), (one) => one.dataset.key));
      for (const one of fresh.querySelectorAll("[data-key]")) {
        if (!known.has(one.dataset.key)) one.classList.add("fresh");
      }
      for (const open of old.querySelectorAll("details[open][id]")) {
        const again = news.getElementById(open.id);
        if (again) again.open = true;
      }
      const focus = old.contains(document.activeElement) ? document.activeElement : null;
      const href = focus && focus.getAttribute("href");
      const adopted = document.adoptNode(fresh);
      old.replaceWith(adopted);
      if (href) {
        const same = Array.from(adopted.querySelectorAll("a[href]"));
        const next = same.find((one) => one.getAttribute("href") === href);
        if (next) next.focus({ preventScroll: true });
      }
    }
    const now = news.getElementById("now");
    const shown = document.getElementById("now");
    if (now && shown) shown.replaceWith(document.adoptNode(now));
    setClock();
    showOwnTime();
    showAges();
  }

  // News

  function shine(state, text) {
    if (!light) return;
    light.hidden = false;
    light.dataset.state = state;
    light.textContent = text;
  }

  function counts(event) {
    for (const [state, count] of Object.entries(JSON.parse(event.data))) {
      for (const place of document.querySelectorAll("[data-count]")) {
        if (place.dataset.count === state) {
          place.textContent = count.toLocaleString("en").replaceAll(",", "\u202f");
        }
      }
    }
  }

  function changed(event) {
    const news = JSON.parse(event.data);
    const topics = new Set();
    if (news.more || news.gateways.length) topics.add("sessions");
    if (news.incidents.length) topics.add("incidents");
    for (const name of news.incidents) topics.add(`incident:${name}`);
    for (const name of news.gateways) {
      topics.add(`gateway:${name}`);
      if (document.querySelector(`[data-gateway="${CSS.escape(name)}"]`)) topics.add("rows");
    }
    for (const part of document.querySelectorAll("[data-live]")) {
      if (part.dataset.live.split(" ").some((topic) => topics.has(topic))) {
        ask(200);
        return;
      }
    }
  }

  function listen() {
    if (source) source.close();
    source = new EventSource(document.body.dataset.stream);
    source.addEventListener("open", () => {
      shine("live", "live");
      if (broken) ask(0);
      broken = false;
    });
    source.addEventListener("counts", counts);
    source.addEventListener("changed", changed);
    source.addEventListener("error", () => {
      broken = true;
      shine("away", "reconnecting");
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, AGAIN_MS);
    });
  }

  const still = document.getElementById("still");
  if (still) still.hidden = true;
  setClock();
  showOwnTime();
  setInterval(showAges, 1000);
  setInterval(() => Date.now() - fetched > IDLE_MS && ask(0), 5000);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) ask(0);
  });
  for (const form of document.querySelectorAll("form[data-auto]")) {
    form.addEventListener("change", () => form.requestSubmit());
  }
  if (document.body.dataset.stream) listen();
  addEventListener("pagehide", () => source && source.close());
  addEventListener("pageshow", (event) => event.persisted && listen());
})();
