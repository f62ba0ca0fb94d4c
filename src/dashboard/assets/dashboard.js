// What pages gain with JavaScript: charts out of their tables, times that go on, and pages that follow what happens. Without it
// they are whole.
"use strict";
(() => {
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Charts are drawn from the table beside them.
  function draw(figure) {
    const plot = figure.querySelector(".plot");
    const rows = [...figure.querySelectorAll(".data tbody tr")];
    if (!window.uPlot || !plot || rows.length < 2) return;
    const names = [...figure.querySelectorAll(".data thead th")].slice(1).map((th) => th.textContent);
    const seconds = (text) => (isNaN(text) ? Date.parse(text) / 1000 : Number(text) > 1e11 ? Number(text) / 1000 : Number(text));
    const data = [rows.map((row) => seconds(row.cells[0].dataset.t))];
    names.forEach((_, n) => data.push(rows.map((row) => {
      const value = row.cells[n + 1].dataset.v;
      return value === "" ? null : Number(value);
    })));
    const colours = ["--accent", "--good-fill", "--warn-fill", "--bad-fill"].map(css);
    const unit = figure.dataset.unit;
    const number = (value) => (value == null ? "–" : value.toLocaleString("en") + (unit ? " " + unit : ""));
    const axis = { stroke: css("--muted"), grid: { stroke: css("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
    const last = rows.length - 1;
    // A value that stands alone is no line.
    const few = (values) => values.filter((value) => value != null).length < 12;
    plot.replaceChildren();
    new uPlot({
      width: plot.clientWidth, height: 190, cursor: { points: { size: 6 } },
      series: [{ value: (_, at) => (at ? new Date(at * 1000).toLocaleTimeString() : "–") },
        ...names.map((label, n) => ({ label, stroke: colours[n], width: 1.8, fill: n ? undefined : colours[0] + "22", points: { show: few(data[n + 1]), size: 4 }, value: (_, v) => number(v) }))],
      axes: [axis, { ...axis, size: 58, values: (_, all) => all.map((v) => v.toLocaleString("en")) }],
      // Where nobody points at a time, the newest values.
      hooks: { ready: [(u) => u.setLegend({ idx: last })], setCursor: [(u) => { if (u.cursor.idx == null) u.setLegend({ idx: last }); }] },
      scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max(high ?? 0, 1) * 1.08] } },
    }, data, plot);
  }
  const drawAll = () => document.querySelectorAll(".chart").forEach(draw);

  // "3 s ago" goes on, and the exact time is also told in the zone of whoever looks.
  function age(millis) {
    const s = Math.floor(millis / 1000);
    if (s < 120) return s + " s";
    if (s < 7200) return Math.floor(s / 60) + " min";
    return s < 172800 ? Math.floor(s / 3600) + " h" : Math.floor(s / 86400) + " d";
  }
  function tick() {
    for (const time of document.querySelectorAll("time[datetime]")) {
      const passed = Date.now() - Date.parse(time.dateTime);
      const text = Math.abs(passed) < 2000 ? "just now" : passed > 0 ? age(passed) + " ago" : "in " + age(-passed);
      if (time.textContent !== text) time.textContent = text;
      if (!time.dataset.local) {
        time.dataset.local = "1";
        time.title += "\n" + new Date(time.dateTime).toLocaleString() + " here";
      }
    }
  }

  // The page follows: an event says that something has happened, and the page reads itself again.
  function follow() {
    const main = document.getElementById("main");
    const sign = document.getElementById("live");
    if (!main || main.dataset.live !== "true" || !sign) return;
    sign.hidden = false;
    const say = (state, text) => { sign.dataset.state = state; sign.querySelector(".live-text").textContent = text; };
    let waiting = false, busy = false;
    async function read() {
      waiting = true;
      if (busy || document.hidden || main.contains(document.activeElement) && document.activeElement.matches("input, select, textarea")) return;
      busy = true;
      waiting = false;
      try {
        const opened = [...main.querySelectorAll("details")].map((one) => one.open);
        await htmx.ajax("GET", location.pathname + location.search, { target: "#main", select: "#main", swap: "outerMorph" });
        document.querySelectorAll("#main details").forEach((one, n) => { if (opened[n]) one.open = true; });
        drawAll();
        tick();
        const seen = document.documentElement.dataset;
        seen.read = String(Number(seen.read ?? 0) + 1);
      } finally {
        setTimeout(() => { busy = false; if (waiting) read(); }, 1000);
      }
    }
    const events = new EventSource("/live?at=" + encodeURIComponent(location.pathname));
    events.addEventListener("open", () => say("on", "Live"));
    events.addEventListener("changed", read);
    events.addEventListener("error", () => say("lost", "Connecting again"));
    document.addEventListener("visibilitychange", () => { if (!document.hidden && waiting) read(); });
    document.addEventListener("focusout", () => setTimeout(() => { if (waiting) read(); }, 200));
    addEventListener("pagehide", () => events.close());
  }

  // A filter that is chosen is meant; whoever uses the keyboard may still press the button.
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form.filters");
    if (form && event.target.matches("select")) form.requestSubmit();
  });
  let last = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== last) { last = innerWidth; drawAll(); } });
  drawAll();
  tick();
  setInterval(tick, 5000);
  follow();
})();
