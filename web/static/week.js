// Where calls go instead, drawn as a week.
import * as api from "./api.js";
import { Asked, Do, html, useAsked } from "./parts.js";

const DAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
const NAMES = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const HOUR = 12, WIDE = 90, LEFT = 44, TOP = 22;

export function Redirects({ news }) {
  const found = useAsked(() => api.get("/redirects"), [news.count]);
  return html`<${Asked} of=${found} empty="Calls ring your phones. Say, for example: “send my calls to Bob after 6pm”.">${(rules) => html`
    <${Week} rules=${rules.filter((rule) => !rule.paused)} />
    <ul class="cards">${rules.map((rule, index) => html`<li class="card"><p><span class=${"swatch c" + (index % 6)}></span>${rule.what}${rule.paused ? " (resting)" : ""}</p>
      <${Do} label="Remove" what=${() => api.remove("/redirects/" + rule.id)} then=${found.again} /></li>`)}</ul>`}</${Asked}>`;
}

const hours = (text) => Number(text.slice(0, 2)) + Number(text.slice(3, 5)) / 60;

// The stretches of a rule: [day, from, to] in hours; past midnight it goes on on the next day.
export function stretches(rule) {
  const days = rule.days.length ? rule.days.map((one) => DAYS.indexOf(one)) : [0, 1, 2, 3, 4, 5, 6];
  const begin = rule.begin ? hours(rule.begin) : 0, end = rule.end ? hours(rule.end) : 24;
  return days.flatMap((day) => (end > begin ? [[day, begin, end]]
    : [[day, begin, 24], [(day + 1) % 7, 0, end]]).filter(([, from, to]) => to > from));
}

function Week({ rules }) {
  const width = LEFT + 7 * WIDE, height = TOP + 24 * HOUR + 4;
  const share = WIDE / Math.max(1, rules.length);
  return html`<div class="wide" tabindex="0" role="region" aria-label="Week"><svg class="week" role="img" width=${width} height=${height} viewBox="0 0 ${width} ${height}"
      aria-label=${"A week of redirections: " + rules.map((rule) => rule.what).join("; ")}>
    ${NAMES.map((name, day) => html`<text x=${LEFT + (day + 0.5) * WIDE} y="14" text-anchor="middle">${name}</text>`)}
    ${[0, 6, 12, 18, 24].map((hour) => html`<text x="4" y=${TOP + hour * HOUR + 4}>${hour}:00</text>
      <line x1=${LEFT} x2=${width} y1=${TOP + hour * HOUR} y2=${TOP + hour * HOUR} class="life" />`)}
    ${rules.flatMap((rule, index) => stretches(rule).map(([day, from, to]) => html`
      <rect class=${"c" + (index % 6)} x=${LEFT + day * WIDE + index * share + 1} width=${share - 2}
        y=${TOP + from * HOUR} height=${(to - from) * HOUR}><title>${rule.what}</title></rect>`))}</svg></div>`;
}
