// The page's own script: theme, tables (sort, filter, download) and charts (drawn when they come into view).
"use strict";
(() => {
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Theme: what the system says, until the button says otherwise. Colours are CSS, the charts' as well.
  const themes = [["", "as the system"], ["dark", "dark"], ["light", "light"]];
  const button = document.getElementById("theme");
  let theme = 0;
  button.hidden = false;
  button.addEventListener("click", () => {
    theme = (theme + 1) % themes.length;
    const [value, label] = themes[theme];
    if (value) document.documentElement.dataset.theme = value;
    else delete document.documentElement.dataset.theme;
    button.querySelector("span").textContent = label;
  });

  // Tables
  const collator = new Intl.Collator("en", { numeric: true });

  // What is unknown comes last, whichever way round; numbers are compared as numbers.
  const compare = (at, sign) => (a, b) => {
    const [x, y] = [a.cells[at], b.cells[at]];
    const missing = ("unknown" in x.dataset) - ("unknown" in y.dataset);
    if (missing) return missing;
    const numbers = "sort" in x.dataset && "sort" in y.dataset;
    return sign * (numbers ? x.dataset.sort - y.dataset.sort : collator.compare(x.textContent, y.textContent));
  };

  const sortable = (table) => {
    const body = table.tBodies[0];
    const original = [...body.rows];
    const headings = $$("thead th", table);
    headings.forEach((heading, at) => heading.querySelector("button").addEventListener("click", () => {
      const next = { none: "ascending", ascending: "descending", descending: "none" }[heading.ariaSort];
      headings.forEach((each) => { each.ariaSort = "none"; });
      heading.ariaSort = next;
      table.classList.toggle("sorted", next !== "none");
      const rows = next === "none" ? original : original.toSorted(compare(at, next === "ascending" ? 1 : -1));
      body.append(...rows);
    }));
  };

  const filterable = (section, table) => {
    const rows = [...table.tBodies[0].rows];
    const selects = $$("select", section);
    const text = (option) => option.textContent;
    const apply = () => {
      const wanted = selects.filter((each) => each.value !== "all")
        .map((each) => [Number(each.dataset.at), text(each.selectedOptions[0])]);
      for (const row of rows) row.hidden = !wanted.every(([at, value]) => row.cells[at].textContent === value);
      const shown = rows.filter((row) => !row.hidden).length;
      section.querySelector(".count").textContent = `${shown} of ${rows.length} rows shown`;
    };
    selects.forEach((each) => each.addEventListener("change", apply));
    section.querySelector(".all")?.addEventListener("change", (event) => {
      table.classList.toggle("every", event.target.checked);
    });
    apply(); // a browser that comes back to the page keeps the choices
    table.classList.toggle("every", Boolean(section.querySelector(".all")?.checked));
  };

  for (const section of $$("section.table")) {
    const table = section.querySelector("table");
    if (!table) continue;
    sortable(table);
    filterable(section, table);
  }

  const download = (name, text) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  for (const each of $$("button.csv")) {
    each.addEventListener("click", () => {
      download(each.dataset.name, JSON.parse(document.getElementById(each.dataset.csv).textContent));
    });
  }

  // Charts. The interpreter (ast) runs Vega's expressions without eval, which the page's policy forbids.
  const options = {
    mode: "vega-lite", renderer: "svg", actions: false, ast: true, defaultStyle: false,
    tooltip: { disableDefaultStyle: true },
  };
  const waiting = new Set($$(".chart"));
  const draw = (chart) => {
    if (!waiting.delete(chart)) return;
    const spec = JSON.parse(chart.nextElementSibling.textContent);
    // Within the element that describes the chart: Vega puts a description of its own on the one it draws in.
    const canvas = chart.appendChild(document.createElement("div"));
    window.vegaEmbed(canvas, spec, options).catch((error) => {
      chart.textContent = `This chart cannot be drawn: ${error.message}`;
    });
  };
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { seen.unobserve(entry.target); draw(entry.target); }
  }, { rootMargin: "300px" });
  waiting.forEach((chart) => seen.observe(chart));

  // Paper shows every chart, at the width of its column; charts listen to the window's size.
  const printing = (on) => {
    document.documentElement.classList.toggle("printing", on);
    if (on) [...waiting].forEach(draw);
    window.dispatchEvent(new Event("resize"));
  };
  window.addEventListener("beforeprint", () => printing(true));
  window.addEventListener("afterprint", () => printing(false));
})();
