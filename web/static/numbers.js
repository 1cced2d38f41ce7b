// Numbers for advertisements, and what they brought.
import { useState } from "./vendor/hooks.js";
import * as api from "./api.js";
import { Ask, Asked, Do, html, useAsked } from "./parts.js";

const PERIODS = ["", "today", "this week", "last week", "this month", "last month"];

export function Numbers({ news }) {
  const mine = useAsked(() => api.get("/numbers"), [news.count]);
  const [label, setLabel] = useState("");
  const [period, setPeriod] = useState("");
  const take = async (said) => {
    await api.post("/numbers", { label: said });
    mine.again();
  };
  return html`<${Ask} label="A number for" hint="the Facebook ad" button="Take one" taken=${take} />
    <${Asked} of=${mine} empty="You have no numbers for advertisements.">${(found) => html`
      <ul class="cards">${found.map((one) => html`<li class="card"><p><strong>${one.label}</strong>: ${one.number} → ${one.to}</p>
        <${Do} label="Give back" what=${() => api.remove("/numbers/" + encodeURIComponent(one.label))} then=${mine.again} /></li>`)}</ul>
      ${found.length > 0 && html`<div class="row"><label>What <select onChange=${(event) => setLabel(event.target.value)}><option value="">all numbers</option>
        ${found.map((one) => html`<option>${one.label}</option>`)}</select> brought</label>
        <label>in <select onChange=${(event) => setPeriod(event.target.value)}>${PERIODS.map((one) => html`<option value=${one}>${one || "the last 30 days"}</option>`)}</select></label>
        <a class="button" href=${api.url("/numbers/statistics") + (label ? "?label=" + encodeURIComponent(label) : "")} download="calls.csv">As a table</a></div>
      <${Figures} label=${label} period=${period} count=${news.count} />`}`}</${Asked}>`;
}

function Figures({ label, period, count }) {
  const found = useAsked(() => api.get("/numbers/figures", { label, period }), [label, period, count]);
  return html`<${Asked} of=${found}>${(figures) => html`
    <p>${sum(figures.answered_by_day)} answered, ${sum(figures.missed_by_day)} missed; ${figures.new} new callers, ${figures.known} calls of known ones.</p>
    <h3>By day</h3><${Bars} names=${figures.days} answered=${figures.answered_by_day} missed=${figures.missed_by_day} />
    <h3>By hour</h3><${Bars} names=${[...Array(24).keys()]} answered=${figures.answered_by_hour} missed=${figures.missed_by_hour} />
    <ul>${Object.entries(figures.sources).map(([name, calls]) => html`<li>${name}: ${calls}</li>`)}</ul>`}</${Asked}>`;
}

const sum = (values) => values.reduce((total, one) => total + one, 0);

function Bars({ names, answered, missed }) {
  const wide = 640, high = 130, step = wide / names.length;
  const most = Math.max(1, ...answered.map((one, index) => one + missed[index]));
  const tall = (value) => (value / most) * (high - 24);
  const every = Math.ceil(names.length / 8);
  return html`<svg class="bars" role="img" viewBox="0 0 ${wide} ${high}" aria-label=${`${sum(answered)} answered and ${sum(missed)} missed calls, at most ${most} at once`}>
    ${names.map((name, index) => html`<g><title>${`${name}: ${answered[index]} answered, ${missed[index]} missed`}</title>
      <rect class="c1" x=${index * step + 1} width=${Math.max(1, step - 2)} y=${high - 18 - tall(answered[index])} height=${tall(answered[index])} />
      <rect class="c3" x=${index * step + 1} width=${Math.max(1, step - 2)} y=${high - 18 - tall(answered[index]) - tall(missed[index])} height=${tall(missed[index])} />
      ${index % every === 0 && html`<text x=${(index + 0.5) * step} y=${high - 4} text-anchor="middle">${name}</text>`}</g>`)}</svg>`;
}
