// The page's own script: theme, the filters of costs, and tables (sort, filter, download). The view is in the address.
"use strict";
(() => {
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const root = document.documentElement;

  // Theme: what the system says, until the button says otherwise. Colours are CSS, the charts' as well.
  const themes = [["", "system"], ["dark", "dark"], ["light", "light"]];
  const button = document.getElementById("theme");
  let theme = 0;
  button.hidden = false;
  button.addEventListener("click", () => {
    theme = (theme + 1) % themes.length;
    const [value, label] = themes[theme];
    if (value) root.dataset.theme = value;
    else delete root.dataset.theme;
    button.querySelector("span").textContent = label;
  });

  // The view: what is not as it was at first, by the name of its control, after the # of the address.
  const controls = $$("[name]:is(input, select)");
  const sorted = new Map(); // the column that a table is sorted by, with - before it if descending
  // What a control says in the address; nothing if it is as at first.
  const setting = (each) => {
    if (each.type === "checkbox") return each.checked ? "yes" : "";
    return each.selectedIndex === 0 ? "" : each.value;
  };
  let at = ""; // the section that a link led to
  const remember = () => {
    const view = new URLSearchParams();
    for (const each of controls) if (setting(each)) view.append(each.name, setting(each));
    for (const [id, key] of sorted) if (key) view.append(`${id}.sort`, key);
    if (at) view.append("at", at);
    const only = [...view.keys()].join() === "at" ? at : String(view);
    history.replaceState(null, "", only ? `#${only}` : location.pathname + location.search);
  };
  const recall = () => {
    const text = location.hash.slice(1);
    const view = new URLSearchParams(text.includes("=") ? text : "");
    at = text.includes("=") ? view.get("at") ?? "" : text;
    if (!text.includes("=")) return;
    for (const each of controls) {
      const value = view.get(each.name);
      if (each.type === "checkbox") each.checked = value === "yes";
      else if (each.type === "number") each.value = value ?? "";
      else each.selectedIndex = Math.max([...each.options].findIndex((option) => option.value === value), 0);
    }
    sorted.clear();
    for (const [name, key] of view) if (name.endsWith(".sort")) sorted.set(name.slice(0, -5), key);
  };

  // Costs: which the charts show, and the most that one can afford. What costs more, or is not known, is hidden.
  const limits = document.getElementById("limits");
  const most = $$("[data-cost]", limits);
  const original = new Map($$("tbody").map((body) => [body, [...body.rows]])); // rows in the order of the page
  limits.hidden = false;
  const affordable = (each) => {
    const costs = each.dataset.costs.split(",");
    return most.every(({ value, dataset }) => value === ""
      || (costs[dataset.cost] && costs[dataset.cost] <= value * dataset.size));
  };
  const afford = () => {
    root.dataset.cost = limits.elements.cost.value;
    const limited = most.some((limit) => limit.value !== "");
    for (const mark of $$(".mark")) mark.classList.toggle("out", limited && !affordable(mark));
    for (const table of tables) table.filter();
    const boards = $$(".board").filter((board) => board.querySelector(".overall tbody"));
    document.getElementById("fits").textContent = !limited ? "" : boards.map((board) => {
      const rows = original.get(board.querySelector(".overall tbody"));
      const fitting = rows.filter(affordable);
      const best = fitting[0]?.querySelector("th bdi").textContent;
      return `${boards.length > 1 ? `${board.querySelector("h2").textContent}: ` : ""}${fitting.length} of ${rows.length}`
        + ` methods fit${best ? `; the best of them is ${best}` : ""}.`;
    }).join(" ");
  };
  limits.addEventListener("submit", (event) => event.preventDefault());
  limits.addEventListener("reset", () => setTimeout(() => { afford(); remember(); }));
  limits.addEventListener("input", () => { afford(); remember(); });

  // Tables
  const collator = new Intl.Collator("en", { numeric: true });

  // What is unknown comes last, whichever way round; numbers are compared as numbers.
  const compare = (column, sign) => (a, b) => {
    const [x, y] = [a.cells[column], b.cells[column]];
    const missing = ("unknown" in x.dataset) - ("unknown" in y.dataset);
    if (missing) return missing;
    const numbers = "sort" in x.dataset && "sort" in y.dataset;
    return sign * (numbers ? x.dataset.sort - y.dataset.sort : collator.compare(x.textContent, y.textContent));
  };

  const sectionTable = (section) => {
    const table = section.querySelector("table");
    const body = table.tBodies[0];
    const rows = original.get(body);
    const headings = $$("thead th", table);
    const selects = $$("select", section);
    const all = section.querySelector(".all");
    const sort = () => {
      const key = sorted.get(section.id) ?? "";
      const column = headings.findIndex((each) => each.dataset.key === key.replace(/^-/, ""));
      headings.forEach((each) => { each.ariaSort = "none"; });
      if (column >= 0) headings[column].ariaSort = key.startsWith("-") ? "descending" : "ascending";
      if (column < 0 && !table.classList.contains("sorted")) return;
      table.classList.toggle("sorted", column >= 0);
      body.append(...(column < 0 ? rows : rows.toSorted(compare(column, key.startsWith("-") ? -1 : 1))));
    };
    headings.forEach((heading) => heading.querySelector("button").addEventListener("click", () => {
      const key = heading.dataset.key;
      sorted.set(section.id, { none: key, ascending: `-${key}`, descending: "" }[heading.ariaSort]);
      sort();
      remember();
    }));
    const filter = () => {
      const wanted = selects.filter((each) => each.selectedIndex > 0)
        .map((each) => [Number(each.dataset.at), each.selectedOptions[0].textContent]);
      for (const row of rows) {
        const text = (column) => (row.cells[column].querySelector("bdi") ?? row.cells[column]).textContent;
        const fits = !("costs" in row.dataset) || affordable(row);
        row.hidden = !fits || !wanted.every(([column, value]) => text(column) === value);
      }
      section.querySelector(".count").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows shown`;
      table.classList.toggle("every", Boolean(all?.checked));
    };
    section.addEventListener("change", () => { filter(); remember(); });
    return { sort, filter };
  };
  const tables = $$("section.table").filter((section) => section.querySelector("table")).map(sectionTable);

  const show = () => {
    recall();
    afford();
    for (const table of tables) table.sort();
    const target = at && document.getElementById(at);
    if (target && location.hash.includes("=")) target.scrollIntoView();
  };
  window.addEventListener("hashchange", () => { show(); remember(); });
  show();

  // Downloads
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
})();
